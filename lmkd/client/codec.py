"""The native protocol as an application sees it, pure: bytes out of requests, replies and notices out of bytes.

Version 1: one JSON object a SOCK_SEQPACKET message, each way (docs/protocol.md). Requests of this client always have
an ``id``; a reply has the ``id`` of its request, a notice (what lmkd sends unasked) has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from .errors import OddAnswer

VERSION = 1
DEFAULT_SOCKET = "/run/lmkd/control"
REQUEST_LIMIT_BYTES = 4096
REPLY_LIMIT_BYTES = 65536
LEVELS = ("calm", "low", "moderate", "critical")
_SHOWN_CHARS = 60


# Named tuples, not dataclasses: these import inspect and ast, 1 MB that every application would pay.
class Level(NamedTuple):
    """The pressure level changed, or is told for the first time on a connection (then the numbers are None).

    ``t_ms`` is the kernel's monotonic clock; ``exhaustion_ms`` until memory is used up at its present rate, None: it is
    not; ``dropped``: so many notices before this one were lost, as this client was slow.
    """

    level: str
    previous: str
    headroom_kib: int | None = None
    exhaustion_ms: float | None = None
    t_ms: float | None = None
    reason: str = ""
    dropped: int = 0

    @property
    def severity(self) -> int:
        """0 calm, 1 low, 2 moderate, 3 critical."""
        return LEVELS.index(self.level)


class AboutToKill(NamedTuple):
    """This process, or one that this connection registered, is being ended: SIGKILL follows after ``grace_ms``."""

    pid: int
    name: str
    signal: str
    grace_ms: int
    reason: str = ""
    dropped: int = 0


class Event(NamedTuple):
    """A record of what lmkd did: its ``name`` (such as "kill") and all its ``fields``."""

    name: str
    fields: dict[str, Any]
    dropped: int = 0


class Link(NamedTuple):
    """The connection came (``up``) or went, with the reason; made by the client itself, not by lmkd.

    ``up`` with a ``reason``: connected, but what was registered or subscribed before is refused now.
    """

    up: bool
    reason: str = ""


Notice = Level | AboutToKill | Event | Link


class Reply(NamedTuple):
    """An answer; ``error`` None: granted. ``number`` None: a refusal of no request in particular."""

    number: int | str | None
    fields: dict[str, Any]
    error: str | None = None


def encode(op: str, number: int, fields: Mapping[str, Any]) -> bytes:
    """The message of a request; ValueError when it would be longer than lmkd takes or has no JSON."""
    message = {"v": VERSION, "op": op, "id": number, **fields}
    encoded = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(encoded) > REQUEST_LIMIT_BYTES:
        raise ValueError(f"a request has at most {REQUEST_LIMIT_BYTES} bytes, this one has {len(encoded)}")
    return encoded


def decode(message: bytes) -> Reply | Level | AboutToKill | Event | None:
    """What came. None: a notice of a kind that this client does not know yet. OddAnswer: not version 1."""
    fields = _load(message)
    if fields.get("ok") is False:
        error = fields.get("error")
        return Reply(_number(fields), {}, error if isinstance(error, str) else "no reason given")
    if "id" in fields:
        return Reply(_number(fields), fields)
    dropped = _integer(fields, "dropped", 0)
    if "level" in fields:
        return _level(_object(fields, "level"), dropped)
    if "about_to_kill" in fields:
        return _about_to_kill(_object(fields, "about_to_kill"), dropped)
    if "event" in fields:
        event = _object(fields, "event")
        return Event(_text(event, "event"), event, dropped)
    return None


def level_name(name: object) -> str:
    """``name`` if it is a level, else OddAnswer."""
    if not isinstance(name, str) or name not in LEVELS:
        raise OddAnswer(f"{_shown(name)} is no level: {', '.join(LEVELS)} are")
    return name


def _load(message: bytes) -> dict[str, Any]:
    if len(message) > REPLY_LIMIT_BYTES:
        raise OddAnswer(f"a message of more than {REPLY_LIMIT_BYTES} bytes")
    try:
        fields = json.loads(message.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise OddAnswer(f"not JSON: {_shown(str(error))}") from error
    if not isinstance(fields, dict):
        raise OddAnswer("not a JSON object")
    version = fields.get("v")
    if type(version) is not int or version != VERSION:
        raise OddAnswer(f"version {_shown(version)}: this client speaks version {VERSION}")
    return fields


def _level(fields: dict[str, Any], dropped: int) -> Level:
    return Level(
        level_name(fields.get("level")),
        level_name(fields.get("previous")),
        _optional(fields, "headroom_kib", int),
        _optional(fields, "exhaustion_ms", float),
        _optional(fields, "t_ms", float),
        _text(fields, "reason", ""),
        dropped,
    )


def _about_to_kill(fields: dict[str, Any], dropped: int) -> AboutToKill:
    return AboutToKill(
        _integer(fields, "pid"),
        _text(fields, "name"),
        _text(fields, "signal"),
        _integer(fields, "grace_ms"),
        _text(fields, "reason", ""),
        dropped,
    )


def _number(fields: dict[str, Any]) -> int | str | None:
    number = fields.get("id")
    return number if type(number) is int or isinstance(number, str) else None


def _object(fields: dict[str, Any], key: str) -> dict[str, Any]:
    found = fields[key]
    if not isinstance(found, dict):
        raise OddAnswer(f"{key} is {_shown(found)}: an object is meant")
    return found


def _text(fields: dict[str, Any], key: str, default: str | None = None) -> str:
    found = fields.get(key, default)
    if not isinstance(found, str):
        raise OddAnswer(f"{key} is {_shown(found)}: a text is meant")
    return found


def _integer(fields: dict[str, Any], key: str, default: int | None = None) -> int:
    found = fields.get(key, default)
    if type(found) is not int:
        raise OddAnswer(f"{key} is {_shown(found)}: an integer is meant")
    return found


def _optional(fields: dict[str, Any], key: str, kind: type[int] | type[float]) -> Any:
    found = fields.get(key)
    if found is None or type(found) is int or type(found) is kind:
        return found
    raise OddAnswer(f"{key} is {_shown(found)}: a number is meant")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _shown(thing: object) -> str:
    if isinstance(thing, list | dict):
        return "a list" if isinstance(thing, list) else "an object"
    text = json.dumps(thing)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
