"""Memory that guard and helper share: candidate tables one way, records and status the other. No locks, no copies."""

from __future__ import annotations

import marshal
import mmap
import os
import struct

from lmkd.held import TmpfsAnswer
from lmkd.policy.table import TABLE_BYTES, PackedTable, pack_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.guard.notices import Notices
    from lmkd.model import Candidate

RING_BYTES = 65536
RECORD_BYTES_MAX = 4000
"""A line with its newline; with the log's prefix it still goes into a pipe in one piece (PIPE_BUF)."""
STATUS_BYTES = 8192
STATUS_TOO_LARGE = b'{"truncated":true}'
_WORDS = struct.Struct("=I")
_ACTIVE, _ANSWER_TURN, _LOGGED, _HEAD, _RESERVED = 0, 8, 16, 24, 32
_STATUS_TURN, _STATUS_LENGTH, _RATIO, _GROWER = 40, 44, 48, 56
_ANSWER = 128
_ANSWER_HEAD = struct.Struct("=didIiIf")
_ANSWER_ROW = struct.Struct("=iQI")
GAINS_MAX = 32
_STORES, _BUSY = 1024, 1056
_DEVICES = struct.Struct("=I9h")
_ANDROID, ANDROID_BYTES = 1088, 64
STORES_MAX = 8
_STATUS = 4096
_RING = _STATUS + STATUS_BYTES
_TABLES = _RING + RING_BYTES
_NOTICES = _TABLES + 2 * TABLE_BYTES
NOTICES_BYTES = 12288
_SLOTS = _NOTICES + NOTICES_BYTES
SLOTS_BYTES = 24576
EXCHANGE_BYTES = _SLOTS + SLOTS_BYTES
_COMMAND = struct.Struct("=B3xiQ")
COMMAND_BYTES = _COMMAND.size
POST_BYTES = 4096
"""A pipe takes so much at once or not at all (PIPE_BUF), so posts never mix."""
PIPE_BYTES = 65536
_FRAME = struct.Struct("=HH")
_FRAME_MARK = 0x4C6D
TRIES = 20
RATIO_SCALE = 1000
GROWER_FRESH_MS = 400.0


class Exchange:
    """One anonymous shared mapping, made before the helper is forked; pages that nobody touches cost nothing."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, EXCHANGE_BYTES)
        self._view = memoryview(self._memory)
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if hasattr(os, "eventfd") else -1
        """Counts what the guard tells in ``notices``; -1 where there is no eventfd."""
        self._notices: Notices | None = None
        self.slots = self._view[_SLOTS:]
        """What ``helper.registry`` keeps: it outlives the helper."""
        self.android = self._view[_ANDROID : _ANDROID + ANDROID_BYTES]  # what one talker tells the next
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.post_reader, self.post_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._unread = b""

    # The helper's side.

    def become_helper(self) -> None:
        """Keep only this side's ends, so that the death of the guard shows as the end of its pipe."""
        os.close(self.writer)
        os.close(self.post_reader)

    def post(self, event: str, fields: tuple[tuple[str, object], ...], level: str = "info") -> None:
        """Have the guard record something (it alone numbers and writes records). Dropped when the pipe is full."""
        data = marshal.dumps((event, fields, level))  # type: ignore[arg-type]
        if len(data) + _FRAME.size > POST_BYTES:
            short = ((key, str(item)[:160]) for key, item in fields[:16])
            data = marshal.dumps((event, (*short, ("truncated", True)), level))
        if len(data) + _FRAME.size > POST_BYTES:
            return
        try:
            os.write(self.post_writer, _FRAME.pack(_FRAME_MARK, len(data)) + data)
        except (BlockingIOError, BrokenPipeError):
            return

    def publish(self, candidates: Iterable[Candidate], measured_ms: float) -> None:
        """Make a new table the one that the guard reads: written aside, then switched over by one word."""
        following = (_WORDS.unpack_from(self._view, _ACTIVE)[0] + 1) & 0xFFFFFFFF
        pack_table(self._table(following), candidates, measured_ms)
        _WORDS.pack_into(self._view, _ACTIVE, following)

    def commands(self) -> list[tuple[int, int, int]]:
        """What the guard asked for since the last call: (operation, pid, start ticks)."""
        try:
            data = os.read(self.reader, 4096)
        except BlockingIOError:
            return []
        whole = len(data) - len(data) % COMMAND_BYTES
        return [_COMMAND.unpack_from(data, at) for at in range(0, whole, COMMAND_BYTES)]

    def set_tmpfs_answer(self, answer: TmpfsAnswer) -> None:
        """Answer to EXPLAIN, TEND and CLEAN. Of the gains as many as there is room for."""
        rows = answer.gains[:GAINS_MAX]
        turn = _WORDS.unpack_from(self._view, _ANSWER_TURN)[0] & 0xFFFFFFFE
        _WORDS.pack_into(self._view, _ANSWER_TURN, turn + 1)
        _ANSWER_HEAD.pack_into(
            self._view, _ANSWER, answer.t_ms, answer.writer, answer.cleaned_ms, answer.deleted_kib, len(rows),
            answer.deletable_kib, answer.fill_kib_s,
        )  # fmt: skip
        for number, row in enumerate(rows):
            _ANSWER_ROW.pack_into(self._view, _ANSWER + _ANSWER_HEAD.size + number * _ANSWER_ROW.size, *row)
        _WORDS.pack_into(self._view, _ANSWER_TURN, (turn + 2) & 0xFFFFFFFF)

    def set_grower_ratio(self, pid: int, ratio: float) -> None:
        """At which ratio the store would take the pages of a process that grows."""
        struct.pack_into("=iI", self._view, _RATIO, pid, int(ratio * RATIO_SCALE))

    def set_grower(self, pid: int, rate_kib_s: float, seen_ms: float) -> None:
        """The process whose size grew most when the helper last looked at all of them, and how fast."""
        struct.pack_into("=ifd", self._view, _GROWER, pid, rate_kib_s, seen_ms)

    def set_stores(self, numbers: tuple[int, ...], own: int) -> None:
        """The zram devices in use as swap, by priority, and which is lmkd's own (-1: none); ``STORES_MAX`` of them."""
        turn = _WORDS.unpack_from(self._view, _STORES)[0] & 0xFFFFFFFE
        _WORDS.pack_into(self._view, _STORES, turn + 1)
        row = (*numbers[:STORES_MAX], *[-1] * (STORES_MAX - len(numbers)))
        _DEVICES.pack_into(self._view, _STORES, turn + 1, own, *row)
        _WORDS.pack_into(self._view, _STORES, (turn + 2) & 0xFFFFFFFF)

    def set_store_busy(self, busy: bool) -> None:
        """Say before and after it that the kernel works on a device for us: it holds the device's lock meanwhile."""
        _WORDS.pack_into(self._view, _BUSY, int(busy))

    @property
    def log_position(self) -> int:
        """How far the records have been written to the log; here, so that the next helper goes on from it."""
        return int(struct.unpack_from("=Q", self._view, _LOGGED)[0])

    @log_position.setter
    def log_position(self, position: int) -> None:
        struct.pack_into("=Q", self._view, _LOGGED, position)

    def records_since(self, position: int) -> tuple[list[bytes], int]:
        """Whole record lines written since ``position`` (a byte count), and the position to go on from.

        A reader that fell behind by more than the ring goes on with the oldest whole line that is left; so does one
        whose oldest lines were written over while it copied them.
        """
        head = struct.unpack_from("=Q", self._view, _HEAD)[0]
        first = start = max(position, head - RING_BYTES, 0)
        raw = bytearray()
        while start < head:
            at = start % RING_BYTES
            piece = min(RING_BYTES - at, head - start)
            raw += self._view[_RING + at : _RING + at + piece]
            start += piece
        lost = max(0, struct.unpack_from("=Q", self._view, _RESERVED)[0] - RING_BYTES - first)
        lines = bytes(raw[lost:]).split(b"\n")[:-1]
        return (lines[1:] if lost or first != position else lines), head

    # The guard's side.

    @property
    def notices(self) -> Notices:
        """What the guard tells at once; its code is no part of the helper."""
        if self._notices is None:
            from lmkd.guard.notices import Notices

            self._notices = Notices(self._view[_NOTICES:_SLOTS], self.wake)
        return self._notices

    def table(self) -> PackedTable:
        """The table as last published. A view: to be read at once, by who is not held up meanwhile."""
        return PackedTable(self._table(_WORDS.unpack_from(self._view, _ACTIVE)[0]))

    def table_copy(self) -> PackedTable:
        """The table for who may be held up for long: a copy during which no other one was published."""
        for _ in range(TRIES):
            active = _WORDS.unpack_from(self._view, _ACTIVE)[0]
            copy = bytes(self._table(active))
            if _WORDS.unpack_from(self._view, _ACTIVE)[0] == active:
                break
        return PackedTable(memoryview(copy))

    def ask(self, operation: int, pid: int = 0, start_ticks: int = 0) -> bool:
        """Hand the helper a command; False when its pipe is full (it is behind; nothing waits for it)."""
        try:
            os.write(self.writer, _COMMAND.pack(operation, pid, start_ticks))
        except (BlockingIOError, BrokenPipeError):
            return False
        return True

    def posts(self) -> list[tuple[str, tuple[tuple[str, object], ...], str]]:
        """What the helper posted. An incomplete message waits for its rest; what is no message is thrown away."""
        try:
            data = self._unread + os.read(self.post_reader, PIPE_BYTES)
        except BlockingIOError:
            return []
        found = []
        at = 0
        while at + _FRAME.size <= len(data):
            mark, length = _FRAME.unpack_from(data, at)
            if mark != _FRAME_MARK or length > POST_BYTES:
                at = len(data)
                break
            if at + _FRAME.size + length > len(data):
                break
            at += _FRAME.size + length
            try:
                event, fields, level = marshal.loads(data[at - length : at])
            except (ValueError, EOFError, TypeError):
                continue
            found.append((event, fields, level))
        self._unread = data[at:]
        return found

    def tmpfs_answer(self) -> TmpfsAnswer | None:
        """The helper's answer to EXPLAIN, TEND and CLEAN; None before the first, and while it is being written."""
        turn = _WORDS.unpack_from(self._view, _ANSWER_TURN)[0]
        if turn % 2 or not turn:
            return None
        head = _ANSWER_HEAD.unpack_from(self._view, _ANSWER)
        t_ms, writer, cleaned_ms, deleted_kib, count, deletable_kib, fill_kib_s = head
        starts = (_ANSWER + _ANSWER_HEAD.size + number * _ANSWER_ROW.size for number in range(count))
        gains = tuple(_ANSWER_ROW.unpack_from(self._view, at) for at in starts)
        if _WORDS.unpack_from(self._view, _ANSWER_TURN)[0] != turn:
            return None
        return TmpfsAnswer(t_ms, writer, gains, deletable_kib, cleaned_ms, deleted_kib, fill_kib_s)

    def grower_ratio(self, pid: int | None) -> float | None:
        """What the helper found for this process; None when it looked at another, or at none."""
        known, scaled = struct.unpack_from("=iI", self._view, _RATIO)
        return scaled / RATIO_SCALE if pid is not None and known == pid and scaled else None

    def grower(self, t_ms: float) -> tuple[int, float]:
        """Who grows and how fast (KiB/s), by the helper's last look at all sizes; 0 for nobody, or if that is old."""
        pid, rate_kib_s, seen_ms = struct.unpack_from("=ifd", self._view, _GROWER)
        return (pid, rate_kib_s) if t_ms - seen_ms <= GROWER_FRESH_MS else (0, 0.0)

    def stores(self, known: int = 0) -> tuple[int, tuple[int, ...], int] | None:
        """(generation, devices, own) as last told; None when that is the ``known`` one, or is being told just now."""
        before = _WORDS.unpack_from(self._view, _STORES)[0]
        if before == known or before % 2:
            return None
        turn, own, *row = _DEVICES.unpack_from(self._view, _STORES)
        if turn != before or _WORDS.unpack_from(self._view, _STORES)[0] != turn:
            return None
        return turn, tuple(number for number in row if number >= 0), own

    def store_busy(self) -> bool:
        """Is the helper at work on a device?"""
        return bool(_WORDS.unpack_from(self._view, _BUSY)[0])

    def write_record(self, line: bytes) -> None:
        """Append one line (without its newline) to the ring; the oldest ones make room.

        ValueError for one that is over ``RECORD_BYTES_MAX`` or is not one line.
        """
        data = line + b"\n"
        if len(data) > RECORD_BYTES_MAX or b"\n" in line:
            raise ValueError("not one line of a record's size")
        head = struct.unpack_from("=Q", self._view, _HEAD)[0]
        struct.pack_into("=Q", self._view, _RESERVED, head + len(data))
        at = head % RING_BYTES
        first = min(len(data), RING_BYTES - at)
        self._view[_RING + at : _RING + at + first] = data[:first]
        if first < len(data):
            self._view[_RING : _RING + len(data) - first] = data[first:]
        struct.pack_into("=Q", self._view, _HEAD, head + len(data))

    def write_status(self, line: bytes) -> None:
        """Replace the status (one JSON object); one that is too large says just that."""
        data = line if len(line) <= STATUS_BYTES else STATUS_TOO_LARGE
        turn = _WORDS.unpack_from(self._view, _STATUS_TURN)[0] & 0xFFFFFFFE
        _WORDS.pack_into(self._view, _STATUS_TURN, turn + 1)
        self._view[_STATUS : _STATUS + len(data)] = data
        _WORDS.pack_into(self._view, _STATUS_LENGTH, len(data))
        _WORDS.pack_into(self._view, _STATUS_TURN, (turn + 2) & 0xFFFFFFFF)

    def read_status(self) -> bytes:
        """The status as last written; empty before the first, and while it is being written."""
        for _ in range(TRIES):
            turn, length = struct.unpack_from("=II", self._view, _STATUS_TURN)
            data = bytes(self._view[_STATUS : _STATUS + length])
            if turn % 2 == 0 and _WORDS.unpack_from(self._view, _STATUS_TURN)[0] == turn:
                return data
        return b""

    def _table(self, number: int) -> memoryview:
        start = _TABLES + (number & 1) * TABLE_BYTES
        return self._view[start : start + TABLE_BYTES]
