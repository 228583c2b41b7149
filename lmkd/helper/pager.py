"""The pager: advice to the kernel about other processes' memory, one small piece a turn.

Two kinds of work. *Trim*: an idle application goes into the store. *Cool*: the memory of an application that grows is
marked as not used lately, so that reclaim, which else finds everything young, takes it before the foreground's
(scanning a young page costs as much as storing it).

One that comes back to the front takes its pages back by its own faults. Reading them ahead of it (MADV_WILLNEED, 256 KB
pieces) was tried on one core, with 24 MB stored: worst gap of its first second 60 ms at nice 0 and 83 ms at -5,
against 43 ms without, for it competes with the very frames that it should help.
"""

from __future__ import annotations

import errno
import os

from lmkd.errors import KernelInterfaceError
from lmkd.helper.sample import sample_ratio
from lmkd.kernel.clock import now_ms
from lmkd.kernel.freezer import own_group
from lmkd.kernel.madvise import COLD, PAGEOUT, Adviser, anonymous_ranges
from lmkd.kernel.pinned import read_whole
from lmkd.kernel.process import read_sizes, read_stat
from lmkd.model import Candidate
from lmkd.policy import trim
from lmkd.policy.trim import Rest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lmkd.kernel.process import Sizes
    from lmkd.kernel.syscalls import Libc

MAPS_BYTES = 262144
RANGE_MIN = 65536
COLD_PIECE_BYTES = 512 << 10
"""What one turn takes: two milliseconds of a 500 MIPS core and less. As long as it lasts the process's memory is held:
should it be ended meanwhile, it is we who free it."""
DUTY = {PAGEOUT: 2.0, COLD: 0.0}
"""So many times as long as a piece took the pager rests after it."""
COOL_MIN_KIB, COOL_SHARE = 8192, 0.2
"""What grows is cooled whenever it has grown by so much: all of it costs five times one walk at most."""
GONE_KEPT = 64


class Work:
    """One process being advised about, range by range. Mutable, and never leaves the pager."""

    __slots__ = ("advice", "advised", "at", "before", "began_ms", "descriptor", "group", "ranges", "ratio", "row")

    def __init__(
        self, advice: int, row: Candidate, descriptor: int, ranges: list[tuple[int, int]], began_ms: float
    ) -> None:
        self.advice = advice
        self.row = row
        self.descriptor = descriptor
        self.ranges = ranges
        self.at = 0
        self.advised = 0
        self.began_ms = began_ms
        self.group = ""
        """memory.reclaim of the cgroup that it has for itself."""
        self.ratio: float | None = None
        self.before: Sizes | None = None


class Pager:
    """Owns the work at hand and what rests. ``report`` records what was done."""

    def __init__(
        self,
        proc: str,
        page_bytes: int,
        libc: Libc,
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
        clock: Callable[[], float] = now_ms,
        mount: str = "",
        trim_piece_kib: int = 256,
    ) -> None:
        """``mount`` is where cgroup2 is mounted, empty for nowhere; ``trim_piece_kib`` is paged out in one turn."""
        self._piece_bytes = {COLD: COLD_PIECE_BYTES}
        self._piece_bytes[PAGEOUT] = max(page_bytes, (trim_piece_kib << 10) // page_bytes * page_bytes)
        self._mount = mount
        self._proc = proc
        self._page_bytes = page_bytes
        self._report = report
        self._clock = clock
        self._rests: dict[int, Rest] = {}
        self._cooled: dict[int, tuple[int, int]] = {}
        self._waiting: list[Work] = []
        self._due_ms = 0.0
        self._wanted_kib = 0
        self._adviser: Adviser | None = None
        try:
            self._adviser = Adviser(libc)
        except KernelInterfaceError:
            self._adviser = None  # said by the kernel probe already

    @property
    def busy(self) -> bool:
        """Is there anything to go on with?"""
        return bool(self._waiting)

    def timeout_ms(self) -> float | None:
        """How long the loop may wait until the next piece; None: for ever."""
        return max(0.0, self._due_ms - self._clock()) if self._waiting else None

    def trim(
        self, wanted_kib: int, rows: Iterable[Candidate], idle_since_ms: Mapping[int, float], idle_ms: float
    ) -> None:
        """Page out idle applications until ``wanted_kib`` have gone; one at a time, the least important first."""
        self._wanted_kib = wanted_kib
        if wanted_kib <= 0 or any(work.advice == PAGEOUT for work in self._waiting):
            return
        rows = list(rows)
        if len(self._rests) > GONE_KEPT:
            there = {row.pid for row in rows}
            self._rests = {pid: rest for pid, rest in self._rests.items() if pid in there}
        while True:
            row = trim.pick(rows, idle_since_ms, self._rests, self._clock(), idle_ms)
            if row is None:
                return
            ratio = sample_ratio(self._proc, row.pid, self._page_bytes)
            if ratio is not None and ratio < trim.RATIO_PAYS:
                self._rests[row.pid] = Rest(
                    row.start_ticks, row.swapped_kib, self._clock() + trim.REST_MAX_MS, trim.REST_MAX_MS
                )
                self._report("trim", (("pid", row.pid), ("name", row.name), ("skipped", "does not compress"),
                                      ("ratio", ratio)), "info")  # fmt: skip
                continue
            work = self._begin(PAGEOUT, row) if ratio is not None else None
            if work is not None:
                work.ratio = ratio
                return
            previous = self._rests.get(row.pid)  # it is gone, hides its memory, or has hardly any of it here
            self._rests[row.pid] = trim.rest_after(previous, row, row.swapped_kib, self._clock())

    def page_out(self, row: Candidate, kib: int) -> bool:
        """Page out this one as was asked, ``kib`` of it or (0) all; False where that cannot be begun now."""
        if any(work.advice == PAGEOUT for work in self._waiting) or self._begin(PAGEOUT, row) is None:
            return False
        self._wanted_kib = kib or row.resident_kib
        return True

    def cool(self, row: Candidate) -> None:
        """Mark the memory of one that grows as old, if it has grown enough since that was done last."""
        start, cooled_kib = self._cooled.get(row.pid, (row.start_ticks, 0))
        if start != row.start_ticks:
            cooled_kib = 0
        size = row.resident_kib + row.swapped_kib
        if size - cooled_kib < max(COOL_MIN_KIB, size * COOL_SHARE):
            return
        if any(work.row.pid == row.pid for work in self._waiting):
            return
        if len(self._cooled) > GONE_KEPT:
            self._cooled.clear()
        self._cooled[row.pid] = (row.start_ticks, size)
        self._begin(COLD, row)

    def turn(self) -> None:
        """Do one piece, if it is time."""
        if not self._waiting or self._clock() < self._due_ms:
            return
        work = self._waiting[0]
        began_ms = self._clock()
        if not self._piece(work):
            self._waiting.pop(0)
            self._finish(work)
        ended_ms = self._clock()
        self._due_ms = ended_ms + (ended_ms - began_ms) * DUTY[work.advice]

    def close(self) -> None:
        """Leave the work at hand as it is."""
        for work in self._waiting:
            self._drop(work)
        self._waiting = []

    def _begin(self, advice: int, row: Candidate) -> Work | None:
        if self._adviser is None:
            return None
        ranges = anonymous_ranges(read_whole(f"{self._proc}/{row.pid}/maps", MAPS_BYTES) or b"", RANGE_MIN)
        try:
            descriptor = os.pidfd_open(row.pid)
        except (OSError, AttributeError):
            return None
        stat = read_stat(self._proc, row.pid)
        if not ranges or stat is None or stat.start_ticks != row.start_ticks:
            os.close(descriptor)
            return None
        work = Work(advice, row, descriptor, ranges, self._clock())
        work.before = read_sizes(self._proc, row.pid)
        if advice == PAGEOUT:
            group = own_group(self._proc, self._mount, row.pid, (row.pid,)) if self._mount else ""
            path = f"{self._mount}{group}/memory.reclaim"
            work.group = path if group and os.access(path, os.F_OK) else ""
            self._waiting.append(work)
        else:
            self._waiting.insert(0, work)
        return work

    def _piece(self, work: Work) -> bool:
        """Advise about the next piece; False when there is none left, or none is wanted any more."""
        if not work.ranges or (work.advice == PAGEOUT and self._wanted_kib <= 0):
            return False
        if work.group:
            return self._reclaim(work)
        start, size = work.ranges[0]
        length = min(self._piece_bytes[work.advice], size - work.at)
        assert self._adviser is not None
        try:
            self._adviser.advise(work.descriptor, start + work.at, length, work.advice)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS):
                return self._give_up(error)
            # A mapping that went away is passed over; of a process that is gone, all are.
            work.ranges.pop(0)
            work.at = 0
            return bool(work.ranges)
        work.advised += length
        work.at += length
        if work.advice == PAGEOUT:
            self._wanted_kib -= length >> 10
        if work.at >= size:
            work.ranges.pop(0)
            work.at = 0
        return bool(work.ranges)

    def _give_up(self, error: OSError) -> bool:
        """This kernel, or what we may do on it, does not let us: said once, and not tried again."""
        cost = f"idle applications are not paged out before memory is short ({os.strerror(error.errno or 0)})"
        self._report("degraded", (("feature", "process_madvise"), ("cost", cost)), "warning")
        self._adviser = None
        for work in self._waiting[1:]:
            self._drop(work)
        self._waiting = self._waiting[:1]
        return False

    def _reclaim(self, work: Work) -> bool:
        """A piece of what its cgroup holds (memory.reclaim, Linux 5.19): files of its own as well."""
        length = self._piece_bytes[PAGEOUT]
        try:
            descriptor = os.open(work.group, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(descriptor, b"%d" % length)
        except OSError:
            return False  # EAGAIN: not so much is left that can go
        finally:
            os.close(descriptor)
        work.advised += length
        self._wanted_kib -= length >> 10
        return work.advised >> 10 < work.row.resident_kib

    def _finish(self, work: Work) -> None:
        after = read_sizes(self._proc, work.row.pid)
        self._drop(work)
        before = work.before
        if before is None or after is None or (self._adviser is None and not work.advised):
            return
        fields: tuple[tuple[str, object], ...] = (
            ("pid", work.row.pid),
            ("name", work.row.name),
            ("priority", work.row.priority),
            ("advised_kib", work.advised >> 10),
            ("ms", round(self._clock() - work.began_ms, 1)),
        )
        if work.advice == PAGEOUT:
            fields += (
                ("how", "memory.reclaim" if work.group else "process_madvise"),
                ("stored_kib", max(0, after.swapped_kib - before.swapped_kib)),
                ("left_kib", after.anon_kib),
                ("ratio", work.ratio),
            )
            self._rests[work.row.pid] = trim.rest_after(
                self._rests.get(work.row.pid), work.row, after.swapped_kib, self._clock()
            )
            self._report("trim", fields, "info")
        else:
            self._report("cool", fields, "debug")

    def _drop(self, work: Work) -> None:
        os.close(work.descriptor)
