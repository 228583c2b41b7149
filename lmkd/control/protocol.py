"""The native control protocol, pure: one JSON object a SOCK_SEQPACKET message, each way, with a version.

Requests and their replies; each object also has ``"v":1``, each reply ``"ok":true``:

    {"op":"status"}                             {"status":{...}}
    {"op":"events","since":N,"follow":false}    {"event":{...}} for each from number N on, {"end":true}
    {"op":"candidates"}                         {"candidates":[...]} with at most 64 rows each, {"end":true}
    {"op":"policy"}                             {"policy":[...]}, a row for each number (policy.derive.explained)
    {"op":"tmpfs"}                              {"tmpfs":{...}}, who holds memory in files (helper.survey)

Whatever is wrong is answered by ``{"v":1,"ok":false,"error":"..."}``, and the connection stays usable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lmkd.errors import ControlError
from lmkd.values import value

VERSION = 1
DEFAULT_SOCKET = "/run/lmkd/control"
REQUEST_LIMIT_BYTES = 4096
REPLY_LIMIT_BYTES = 65536
CANDIDATES_IN_REPLY = 64
SEQUENCE_LIMIT = 2**63

_OPERATIONS = {"status": (), "events": ("since", "follow"), "candidates": (), "policy": (), "tmpfs": ()}
_ERROR_LIMIT_CHARS = 500


@value
class Request:
    """One valid request. ``since`` (a sequence number) and ``follow`` have a meaning for ``events`` only."""

    op: str
    since: int = 0
    follow: bool = False


def encode_request(request: Request) -> bytes:
    """The message of a request."""
    message: dict[str, Any] = {"v": VERSION, "op": request.op}
    if request.op == "events":
        message.update(since=request.since, follow=request.follow)
    return _dump(message)


def decode_request(message: bytes) -> Request:
    """The request in ``message``; ControlError says what is wrong with it, whatever the bytes are."""
    if len(message) > REQUEST_LIMIT_BYTES:
        raise ControlError(f"a request has at most {REQUEST_LIMIT_BYTES} bytes")
    fields = _load_object(message, "request")
    _check_version(fields)
    op = fields.pop("op", None)
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise ControlError(f"unknown op {_shown(op)}: {', '.join(_OPERATIONS)} are known")
    unknown = sorted(set(fields) - set(_OPERATIONS[op]))
    if unknown:
        raise ControlError(f"unknown field {_shown(unknown[0])} in a request for {op}")
    since, follow = fields.get("since", 0), fields.get("follow", False)
    if type(since) is not int or not 0 <= since < SEQUENCE_LIMIT:
        raise ControlError(f"since is {_shown(since)}: a sequence number from 0 on is meant")
    if type(follow) is not bool:
        raise ControlError(f"follow is {_shown(follow)}: true or false is meant")
    return Request(op, since, follow)


def encode_status(status: Mapping[str, Any]) -> bytes:
    """The reply to ``status``; ControlError when it cannot be sent."""
    return _reply(status=dict(status))


def encode_policy(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The reply to ``policy``; ControlError when it cannot be sent."""
    return _reply(policy=list(rows))


def encode_tmpfs(seen: Mapping[str, Any]) -> bytes:
    """The reply to ``tmpfs``; ControlError when it cannot be sent."""
    return _reply(tmpfs=dict(seen))


def encode_event(event: Mapping[str, Any]) -> bytes:
    """One event of a stream. One that is too large keeps its name and numbers only, marked ``truncated``."""
    try:
        return _reply(event=dict(event))
    except ControlError:
        kept = {key: event[key] for key in ("event", "level", "timestamp", "seq", "t_ms") if key in event}
        return _reply(event={**kept, "truncated": True})


def encode_candidates(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The rows as messages, as many as fit (64 at most) in each; ControlError when one alone does not fit."""
    chunk: list[Mapping[str, Any]] = []
    size_bytes = 0
    for row in rows:
        row_bytes = len(_dump(row)) + 1
        if chunk and (len(chunk) == CANDIDATES_IN_REPLY or size_bytes + row_bytes > REPLY_LIMIT_BYTES - 64):
            yield _reply(candidates=chunk)
            chunk, size_bytes = [], 0
        chunk.append(row)
        size_bytes += row_bytes
    if chunk:
        yield _reply(candidates=chunk)


def encode_end() -> bytes:
    """The message that closes a stream of events or candidates."""
    return _reply(end=True)


def encode_error(text: str) -> bytes:
    """The reply to anything that is wrong; the connection stays usable."""
    return _dump({"v": VERSION, "ok": False, "error": text[:_ERROR_LIMIT_CHARS]})


def decode_reply(message: bytes) -> dict[str, Any]:
    """The fields of a reply without ``v`` and ``ok``; ControlError for a refusal and for what is no reply."""
    fields = _load_object(message, "reply")
    _check_version(fields)
    ok = fields.pop("ok", None)
    if ok is True:
        return fields
    error = fields.get("error")
    if ok is False and isinstance(error, str):
        raise ControlError(f"lmkd refused: {error}")
    raise ControlError("lmkd answered something that is not a reply")


def _reply(**fields: Any) -> bytes:
    message = _dump({"v": VERSION, "ok": True, **fields})
    if len(message) > REPLY_LIMIT_BYTES:
        raise ControlError(f"the reply is over {REPLY_LIMIT_BYTES} bytes")
    return message


def _dump(message: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise ControlError(f"the message cannot be sent as JSON: {error}") from error


def _load_object(message: bytes, what: str) -> dict[str, Any]:
    try:
        loaded = json.loads(
            message.decode("utf-8"), object_pairs_hook=_unique_fields, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise ControlError(f"the {what} is not JSON: {_shown(str(error))}") from error
    if not isinstance(loaded, dict):
        raise ControlError(f"the {what} is not a JSON object")
    return loaded


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands twice in one object")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check_version(fields: dict[str, Any]) -> None:
    version = fields.pop("v", None)
    if type(version) is not int or version != VERSION:
        raise ControlError(f"version {_shown(version)}: this lmkd speaks version {VERSION}")


def _shown(thing: object) -> str:
    if isinstance(thing, list | dict):
        return "a list" if isinstance(thing, list) else "an object"
    text = json.dumps(thing)
    return text if len(text) <= 60 else f"{text[:60]}..."
