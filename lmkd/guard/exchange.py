"""Memory that guard and helper share: candidate tables one way, records and status the other. No locks, no copies."""

from __future__ import annotations

import io
import marshal
import mmap
import os
import struct

from lmkd.policy.table import TABLE_BYTES, PackedTable, pack_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.model import Candidate

RING_BYTES = 65536
STATUS_BYTES = 8192
_WORDS = struct.Struct("=I")
_ACTIVE, _WRITER, _LOGGED, _HEAD, _STATUS_LENGTH = 0, 8, 16, 24, 32
_STATUS = 4096
_RING = _STATUS + STATUS_BYTES
_TABLES = _RING + RING_BYTES
EXCHANGE_BYTES = _TABLES + 2 * TABLE_BYTES
_COMMAND = struct.Struct("=B3xiQ")
COMMAND_BYTES = _COMMAND.size
REFRESH, REFRESH_URGENT, REAP, EXPLAIN, DRAIN_LOG, HOOK, STOP = range(1, 8)
POST_BYTES = 4096
"""A pipe takes so much at once or not at all (PIPE_BUF), so posts never mix."""


class Exchange:
    """One anonymous shared mapping, made before the helper is forked; pages that nobody touches cost nothing."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, EXCHANGE_BYTES)
        self._view = memoryview(self._memory)
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.post_reader, self.post_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # The helper's side.

    def become_helper(self) -> None:
        """Keep only this side's ends, so that the death of the guard shows as the end of its pipe."""
        os.close(self.writer)
        os.close(self.post_reader)

    def post(self, event: str, fields: tuple[tuple[str, object], ...], level: str = "info") -> None:
        """Have the guard record something (it alone numbers and writes records). Dropped when the pipe is full."""
        data = marshal.dumps((event, fields, level))  # type: ignore[arg-type]
        if len(data) <= POST_BYTES:
            try:
                os.write(self.post_writer, data)
            except (BlockingIOError, BrokenPipeError):
                return

    def publish(self, candidates: Iterable[Candidate], measured_ms: float) -> None:
        """Make a new table the one that the guard reads: written aside, then switched over by one word."""
        active = _WORDS.unpack_from(self._view, _ACTIVE)[0]
        other = (active + 1) & 1
        pack_table(self._table(other), candidates, measured_ms)
        _WORDS.pack_into(self._view, _ACTIVE, other)

    def commands(self) -> list[tuple[int, int, int]]:
        """What the guard asked for since the last call: (operation, pid, start ticks)."""
        try:
            data = os.read(self.reader, 4096)
        except BlockingIOError:
            return []
        whole = len(data) - len(data) % COMMAND_BYTES
        return [_COMMAND.unpack_from(data, at) for at in range(0, whole, COMMAND_BYTES)]

    def set_tmpfs_writer(self, pid: int) -> None:
        """Answer to EXPLAIN: the process that fills a tmpfs, 0 when none was found."""
        struct.pack_into("=i", self._view, _WRITER, pid)

    @property
    def log_position(self) -> int:
        """How far the records have been written to the log; here, so that the next helper goes on from it."""
        return int(struct.unpack_from("=Q", self._view, _LOGGED)[0])

    @log_position.setter
    def log_position(self, position: int) -> None:
        struct.pack_into("=Q", self._view, _LOGGED, position)

    def records_since(self, position: int) -> tuple[list[bytes], int]:
        """Whole record lines written since ``position`` (a byte count), and the position to go on from.

        A reader that fell behind by more than the ring goes on with the oldest whole line that is left.
        """
        head = struct.unpack_from("=Q", self._view, _HEAD)[0]
        behind = position < head - RING_BYTES
        start = max(position, head - RING_BYTES, 0)
        raw = bytearray()
        while start < head:
            at = start % RING_BYTES
            piece = min(RING_BYTES - at, head - start)
            raw += self._view[_RING + at : _RING + at + piece]
            start += piece
        lines = bytes(raw).split(b"\n")[:-1]
        return (lines[1:] if behind else lines), head

    # The guard's side.

    def table(self) -> PackedTable:
        """The table as last published."""
        return PackedTable(self._table(_WORDS.unpack_from(self._view, _ACTIVE)[0] & 1))

    def ask(self, operation: int, pid: int = 0, start_ticks: int = 0) -> bool:
        """Hand the helper a command; False when its pipe is full (it is behind; nothing waits for it)."""
        try:
            os.write(self.writer, _COMMAND.pack(operation, pid, start_ticks))
        except (BlockingIOError, BrokenPipeError):
            return False
        return True

    def posts(self) -> list[tuple[str, tuple[tuple[str, object], ...], str]]:
        """What the helper posted; an incomplete or odd message ends the list."""
        try:
            data = os.read(self.post_reader, 4 * POST_BYTES)
        except BlockingIOError:
            return []
        found = []
        stream = io.BytesIO(data)
        while stream.tell() < len(data):
            try:
                event, fields, level = marshal.load(stream)
            except (ValueError, EOFError, TypeError):
                break
            found.append((event, fields, level))
        return found

    def tmpfs_writer(self) -> int | None:
        """The helper's answer to EXPLAIN, None as long as it has found nobody."""
        return struct.unpack_from("=i", self._view, _WRITER)[0] or None

    def write_record(self, line: bytes) -> None:
        """Append one line (without its newline) to the ring; the oldest ones make room."""
        data = line + b"\n"
        head = struct.unpack_from("=Q", self._view, _HEAD)[0]
        at = head % RING_BYTES
        first = min(len(data), RING_BYTES - at)
        self._view[_RING + at : _RING + at + first] = data[:first]
        if first < len(data):
            self._view[_RING : _RING + len(data) - first] = data[first:]
        struct.pack_into("=Q", self._view, _HEAD, head + len(data))

    def write_status(self, line: bytes) -> None:
        """Replace the status (one JSON object)."""
        data = line[:STATUS_BYTES]
        _WORDS.pack_into(self._view, _STATUS_LENGTH, 0)
        self._view[_STATUS : _STATUS + len(data)] = data
        _WORDS.pack_into(self._view, _STATUS_LENGTH, len(data))

    def read_status(self) -> bytes:
        """The status as last written; empty while it is being written or before the first."""
        length = _WORDS.unpack_from(self._view, _STATUS_LENGTH)[0]
        return bytes(self._view[_STATUS : _STATUS + length])

    def _table(self, number: int) -> memoryview:
        start = _TABLES + number * TABLE_BYTES
        return self._view[start : start + TABLE_BYTES]
