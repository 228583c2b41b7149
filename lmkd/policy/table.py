"""The candidate table in one flat buffer: the helper packs it, the guard reads single rows of it."""

from __future__ import annotations

import struct

from lmkd.model import Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CAPACITY = 4096
"""Rows at most; a board with more processes keeps the ones that would die first."""
NAME_BYTES = 16
_HEADER = struct.Struct("=IId")
_ROW = struct.Struct("=iQhhIIIHh16s")
_LEVEL = struct.Struct("=hhI")
_HEADER_BYTES = 16
_PIDS = _HEADER_BYTES
_GAINS = _PIDS + 4 * CAPACITY
_SUMS = _GAINS + 4 * CAPACITY
_LEVELS = _SUMS + 4 * CAPACITY
_ROWS = _LEVELS + _LEVEL.size * CAPACITY
TABLE_BYTES = (_ROWS + _ROW.size * CAPACITY + 4095) & ~4095
GRACE_MAX_MS = 32767
U32_MAX = 0xFFFFFFFF


class PackedTable:
    """A read-only view of a packed table; see ``model.CandidateTable`` for what the methods promise."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self._count, self._level_count, self.measured_ms = _HEADER.unpack_from(buffer, 0)
        self._gains = buffer[_GAINS : _GAINS + 4 * self._count].cast("I")

    def __len__(self) -> int:
        return int(self._count)

    def row(self, index: int) -> Candidate:
        """The candidate at this place."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        pid, start, priority, grace, gain, resident, swapped, flags, rule, name = _ROW.unpack_from(
            self._buffer, _ROWS + index * _ROW.size
        )
        text = name.rstrip(b"\0").decode("utf-8", "ignore")  # what was cut off is the last character's rest
        return Candidate(pid, start, priority, gain, resident, swapped, grace, flags, rule, text)

    def index_of(self, pid: int) -> int | None:
        """The place of a process, None when it has none."""
        pids = bytes(self._buffer[_PIDS : _PIDS + 4 * self._count])
        wanted = struct.pack("=i", pid)
        at = pids.find(wanted)
        while at % 4 and at >= 0:  # the end of one number and the begin of the next can look like it
            at = pids.find(wanted, at + 1)
        return at // 4 if at >= 0 else None

    def levels(self) -> tuple[tuple[int, int, int], ...]:
        """(priority, first, after the last) in kill order."""
        starts = [
            (entry[0], entry[2])
            for entry in (_LEVEL.unpack_from(self._buffer, _LEVELS + n * _LEVEL.size) for n in range(self._level_count))
        ]
        ends = [start for _priority, start in starts[1:]] + [int(self._count)]
        # Not strict: a table without a row (before the helper's first) has no level, but an end.
        return tuple((priority, start, end) for (priority, start), end in zip(starts, ends, strict=False))

    def gain_before(self, index: int) -> int:
        """KiB that the deaths of all rows before this one would return."""
        if index <= 0:
            return 0
        return int(struct.unpack_from("=I", self._buffer, _SUMS + 4 * (index - 1))[0])

    def first_with_gain(self, start: int, stop: int, gain_kib: int) -> int:
        """By bisection: gains ascend within a level."""
        low, high = start, stop
        while low < high:
            middle = (low + high) // 2
            if self._gains[middle] < gain_kib:
                low = middle + 1
            else:
                high = middle
        return low


def kill_order(candidate: Candidate) -> tuple[int, int, int]:
    """Sort key of the kill order: least important first, smallest gain first among equals, then the older pid last."""
    return -candidate.priority, candidate.gain_kib, -candidate.pid


def pack_table(buffer: memoryview, candidates: Iterable[Candidate], measured_ms: float) -> None:
    """Write the candidates in kill order; those beyond ``CAPACITY`` are the ones that would die last."""
    ordered = sorted(candidates, key=kill_order)[:CAPACITY]
    levels: list[tuple[int, int]] = []
    total = 0
    for index, one in enumerate(ordered):
        if not levels or levels[-1][0] != one.priority:
            levels.append((one.priority, index))
        total = min(U32_MAX, total + one.gain_kib)
        struct.pack_into("=i", buffer, _PIDS + 4 * index, one.pid)
        struct.pack_into("=I", buffer, _GAINS + 4 * index, min(U32_MAX, one.gain_kib))
        struct.pack_into("=I", buffer, _SUMS + 4 * index, total)
        _ROW.pack_into(
            buffer,
            _ROWS + index * _ROW.size,
            one.pid,
            one.start_ticks,
            one.priority,
            min(GRACE_MAX_MS, max(0, one.grace_ms)),
            min(U32_MAX, one.gain_kib),
            min(U32_MAX, one.resident_kib),
            min(U32_MAX, one.swapped_kib),
            one.flags,
            one.rule,
            one.name.encode("utf-8", "replace")[:NAME_BYTES],
        )
    for number, (priority, start) in enumerate(levels):
        _LEVEL.pack_into(buffer, _LEVELS + number * _LEVEL.size, priority, 0, start)
    _HEADER.pack_into(buffer, 0, len(ordered), len(levels), measured_ms)


def table_of(candidates: Sequence[Candidate]) -> PackedTable:
    """A table of its own, for tests and replays."""
    buffer = memoryview(bytearray(TABLE_BYTES))
    pack_table(buffer, candidates, 0.0)
    return PackedTable(buffer)
