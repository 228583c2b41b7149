"""The native control protocol, pure: one JSON object a SOCK_SEQPACKET message, each way, with a version.

What requests there are, with their fields and replies, is defined in ``lmkd.control.schema`` and described in
docs/protocol.md. Each object has ``"v":1``, each reply ``"ok":true`` and the request's ``"id"``, if it had one.
Whatever is wrong is answered by ``{"v":1,"ok":false,"error":"..."}``, and the connection stays usable.
"""

from __future__ import annotations

from lmkd.control.schema import TEXT_MAX, shown, validate
from lmkd.errors import ControlError
from lmkd.plain_json import dumps, loads
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

VERSION = 1
DEFAULT_SOCKET = "/run/lmkd/control"
REQUEST_LIMIT_BYTES = 4096
REPLY_LIMIT_BYTES = 65536
CANDIDATES_IN_REPLY = 64
METRICS_BYTES_IN_REPLY = 60_000
ID_NUMBER_MAX = 2**53

_ERROR_LIMIT_CHARS = 500

Id = int | str | None


@value
class Request:
    """One valid request: its ``fields`` by name, with defaults. ``id`` is echoed in its replies."""

    op: str
    fields: Mapping[str, Any]
    id: Id = None


def encode_request(op: str, fields: Mapping[str, Any] | None = None, ident: Id = None) -> bytes:
    """The message of a request. ControlError when it cannot be sent."""
    return _dump({"v": VERSION, "op": op, **(fields or {}), **({"id": ident} if ident is not None else {})})


def decode_request(message: bytes) -> Request:
    """The request in ``message``; ControlError says what is wrong with it, whatever the bytes are."""
    if len(message) > REQUEST_LIMIT_BYTES:
        raise ControlError(f"a request has at most {REQUEST_LIMIT_BYTES} bytes")
    fields = _load_object(message, "request")
    _check_version(fields)
    ident = fields.pop("id", None)
    if not _is_id(ident):
        raise ControlError(f"id is {shown(ident)}: a number or at most {TEXT_MAX} characters are meant")
    op = fields.pop("op", None)
    return Request(op if isinstance(op, str) else "", validate(op, fields), ident)


def id_in(message: bytes) -> Id:
    """The id of a request that is wrong otherwise, for the reply that says so; None where there is none."""
    try:
        ident: Id = _load_object(message[: REQUEST_LIMIT_BYTES + 1], "request").get("id")
    except ControlError:
        return None
    return ident if _is_id(ident) else None


def encode_reply(ident: Id = None, **fields: Any) -> bytes:
    """One reply; ControlError when it cannot be sent."""
    named = {"id": ident} if ident is not None else {}
    message = _dump({"v": VERSION, "ok": True, **fields, **named})
    if len(message) > REPLY_LIMIT_BYTES:
        raise ControlError(f"the reply is over {REPLY_LIMIT_BYTES} bytes")
    return message


def encode_event(event: Mapping[str, Any], ident: Id = None, dropped: int = 0) -> bytes:
    """One event of a stream. One that is too large keeps its name and numbers only, marked ``truncated``."""
    lost = {"dropped": dropped} if dropped else {}
    try:
        return encode_reply(ident, event=dict(event), **lost)
    except ControlError:
        kept = {key: event[key] for key in ("event", "level", "timestamp", "seq", "t_ms") if key in event}
        return encode_reply(ident, event={**kept, "truncated": True}, **lost)


def encode_candidates(rows: Iterable[Mapping[str, Any]], ident: Id = None) -> Iterator[bytes]:
    """The rows as messages, as many as fit (64 at most) in each; ControlError when one alone does not fit."""
    chunk: list[Mapping[str, Any]] = []
    size_bytes = 0
    for row in rows:
        row_bytes = len(_dump(row)) + 1
        if chunk and (len(chunk) == CANDIDATES_IN_REPLY or size_bytes + row_bytes > REPLY_LIMIT_BYTES - 512):
            yield encode_reply(ident, candidates=chunk)
            chunk, size_bytes = [], 0
        chunk.append(row)
        size_bytes += row_bytes
    if chunk:
        yield encode_reply(ident, candidates=chunk)


def encode_metrics(text: str, ident: Id = None) -> Iterator[bytes]:
    """The text in pieces of whole lines; a line that is too long is cut."""
    piece, size_bytes = "", 0
    for line in text.splitlines(keepends=True):
        shown_bytes = len(dumps(line))
        if piece and size_bytes + shown_bytes > METRICS_BYTES_IN_REPLY:
            yield encode_reply(ident, metrics=piece)
            piece, size_bytes = "", 0
        piece += line[: METRICS_BYTES_IN_REPLY // 6]
        size_bytes += shown_bytes
    if piece:
        yield encode_reply(ident, metrics=piece)


def encode_end(ident: Id = None) -> bytes:
    """The message that closes a stream of events or candidates."""
    return encode_reply(ident, end=True)


def encode_error(text: str, ident: Id = None) -> bytes:
    """The reply to anything that is wrong; the connection stays usable."""
    named = {"id": ident} if ident is not None else {}
    return _dump({"v": VERSION, "ok": False, "error": text[:_ERROR_LIMIT_CHARS], **named})


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


def _is_id(ident: object) -> bool:
    if isinstance(ident, str):
        return len(ident) <= TEXT_MAX
    return ident is None or (type(ident) is int and -ID_NUMBER_MAX <= ident <= ID_NUMBER_MAX)


def _dump(message: Mapping[str, Any]) -> bytes:
    try:
        return dumps(message, (",", ":"), nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise ControlError(f"the message cannot be sent as JSON: {error}") from error


def _load_object(message: bytes, what: str) -> dict[str, Any]:
    try:
        loaded = loads(message.decode("utf-8"), _unique_fields, _refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"the {what} is not JSON: {shown(str(error))}") from error
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
        raise ControlError(f"version {shown(version)}: this lmkd speaks version {VERSION}")
