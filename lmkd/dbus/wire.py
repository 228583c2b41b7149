"""D-Bus messages as bytes, as much of the protocol as the bridge needs (D-Bus specification 0.43, chapter 3).

Pure: what is sent is made here in little-endian, what comes may have either order. What a message does not say is "".
"""

from __future__ import annotations

import struct

from lmkd.errors import LmkdError
from lmkd.values import value

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
NO_REPLY_EXPECTED = 1
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE, UNIX_FDS = range(1, 10)
FIXED_BYTES = 16
FIELDS_BYTES_MAX = 16384
BODY_BYTES_MAX = 4096
"""A larger body is not kept: no call that the bridge knows has one."""
MESSAGE_BYTES_MAX = 1 << 27
_TEXTS = {PATH: "o", INTERFACE: "s", MEMBER: "s", ERROR_NAME: "s", DESTINATION: "s", SENDER: "s", SIGNATURE: "g"}


class WireError(LmkdError):
    """What came from the bus is no D-Bus message."""


@value
class Message:
    """One message. ``body`` is as it came, in the order of bytes that ``order`` names (< or >)."""

    kind: int
    serial: int = 0
    flags: int = 0
    path: str = ""
    interface: str = ""
    member: str = ""
    error: str = ""
    reply_to: int = 0
    destination: str = ""
    sender: str = ""
    signature: str = ""
    body: bytes = b""
    order: str = "<"

    def text(self) -> str:
        """The string that the body begins with. WireError when it does not."""
        if not self.signature.startswith("s"):
            raise WireError(f"a text was expected, not {self.signature!r}")
        return _Cursor(self.body, self.order).text()

    def number(self) -> int:
        """The 32-bit number that the body begins with. WireError when it does not."""
        if not self.signature.startswith("u"):
            raise WireError(f"a number was expected, not {self.signature!r}")
        return _Cursor(self.body, self.order).number()


def encode(message: Message, serial: int) -> bytes:
    """The bytes of a message with this serial number (from 1 on), in little-endian: its body must be so too."""
    texts = (
        (PATH, message.path), (INTERFACE, message.interface), (MEMBER, message.member), (ERROR_NAME, message.error),
        (DESTINATION, message.destination), (SIGNATURE, message.signature),
    )  # fmt: skip
    fields = b""
    for code, text in texts:
        if text:
            kind = _TEXTS[code]
            shown = signature(text) if kind == "g" else string(text)
            fields += b"\0" * (-len(fields) % 8) + bytes([code]) + signature(kind) + shown
    if message.reply_to:
        fields += b"\0" * (-len(fields) % 8) + bytes([REPLY_SERIAL]) + signature("u")
        fields += struct.pack("<I", message.reply_to)
    head = struct.pack("<cBBBIII", b"l", message.kind, message.flags, 1, len(message.body), serial, len(fields))
    return head + fields + b"\0" * (-len(fields) % 8) + message.body


def string(text: str) -> bytes:
    """A string or an object's path, which begins at a multiple of 4 (the caller sees to it)."""
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def signature(text: str) -> bytes:
    """A type's signature."""
    data = text.encode()
    return bytes([len(data)]) + data + b"\0"


class Stream:
    """Takes the bytes of a connection as they come, and gives whole messages. It never keeps more than one header."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. WireError: what came is no message, nor is anything after it."""
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        self._waiting += data[skipped:]
        found = []
        while len(self._waiting) >= FIXED_BYTES and not self._skip:
            message = self._next()
            if message is None:
                break
            found.append(message)
        return found

    def _next(self) -> Message | None:
        mark, kind, flags, version = struct.unpack_from("<cBBB", self._waiting)
        if mark not in (b"l", b"B") or version != 1 or not kind:
            raise WireError("what came from the bus is no D-Bus message")
        order = "<" if mark == b"l" else ">"
        body_bytes, serial, fields_bytes = struct.unpack_from(f"{order}III", self._waiting, 4)
        start = FIXED_BYTES + fields_bytes + -fields_bytes % 8
        if fields_bytes > FIELDS_BYTES_MAX or start + body_bytes > MESSAGE_BYTES_MAX:
            raise WireError("a message from the bus is too large")
        kept = body_bytes <= BODY_BYTES_MAX
        if len(self._waiting) < start + (body_bytes if kept else 0):
            return None
        fields = _fields(bytes(self._waiting[FIXED_BYTES : FIXED_BYTES + fields_bytes]), order)
        body = bytes(self._waiting[start : start + body_bytes]) if kept else b""
        rest = start + body_bytes - len(self._waiting)
        del self._waiting[: start + body_bytes]
        self._skip = max(0, rest)
        texts = {code: str(fields.get(code, "")) for code in _TEXTS}
        return Message(
            kind, serial, flags, texts[PATH], texts[INTERFACE], texts[MEMBER], texts[ERROR_NAME],
            int(fields.get(REPLY_SERIAL, 0)), texts[DESTINATION], texts[SENDER], texts[SIGNATURE], body, order,
        )  # fmt: skip


def _fields(data: bytes, order: str) -> dict[int, str | int]:
    """The header's fields by their codes."""
    cursor = _Cursor(data, order)
    found: dict[int, str | int] = {}
    while cursor.left:
        cursor.align(8)
        code = cursor.byte()
        kind = cursor.signature()
        expected = _TEXTS.get(code, "u" if code in (REPLY_SERIAL, UNIX_FDS) else kind)
        if kind != expected or kind not in ("s", "o", "g", "u"):
            raise WireError(f"a message from the bus has field {code} of type {kind!r}")
        found[code] = cursor.number() if kind == "u" else cursor.signature() if kind == "g" else cursor.text()
    return found


class _Cursor:
    """Reads values one after the other. WireError where there is none."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._data)

    def align(self, size: int) -> None:
        self._at += -self._at % size

    def byte(self) -> int:
        return self._take(1)[0]

    def number(self) -> int:
        self.align(4)
        return int(struct.unpack(f"{self._order}I", self._take(4))[0])

    def text(self) -> str:
        return self._decoded(self.number())

    def signature(self) -> str:
        return self._decoded(self.byte())

    def _decoded(self, length: int) -> str:
        data = self._take(length + 1)
        try:
            return data[:-1].decode()
        except UnicodeDecodeError as error:
            raise WireError("a message from the bus has a text that is not UTF-8") from error

    def _take(self, length: int) -> bytes:
        data = self._data[self._at : self._at + length]
        if len(data) < length:
            raise WireError("a message from the bus is cut off")
        self._at += length
        return data
