"""The order of the processor while memory is short: what is in front, then the kernel's reclaim, then all others.

With equal shares the foreground waits for its turn among all that reclaim for pages of their own, and kswapd, which
would spare everybody that work, waits among them as well: where dozens of applications run and do not fit, a
foreground that needs 2 ms in each 20 ms has waited for 937 ms (tests.board.chance, seed 2). Nice values count among
tasks of one scheduling group (sched(7)), as for ``policy.renice``.
"""

from __future__ import annotations

from lmkd.guard.act import NICE_FRONT
from lmkd.guard.commands import NOTIFY, TRIM
from lmkd.helper.listing import remove_list, write_list
from lmkd.kernel.clock import now_ms
from lmkd.kernel.nice import (
    NICE_HIGHEST,
    NICE_LOWEST,
    lower_again,
    nice_of,
    raise_alone,
    reclaim_threads,
    shares_of,
    threads_of,
)
from lmkd.kernel.pinned import read_whole
from lmkd.kernel.process import read_stat
from lmkd.model import FLAG_DECLARED_FOREGROUND, PRIORITY_FOREGROUND
from lmkd.policy.pressure import LEVELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lmkd.helper.stopped import Report
    from lmkd.model import Candidate

NICE_RECLAIM = -10
FROM_LEVEL = LEVELS.index("low")
TRIM_MS = 1500
"""The guard asks again while it is so."""
FRONT_MAX = 48
"""So many processes are raised at most, the largest first."""
LIST_NAME = "raised"
LIST_BYTES = 8192


class Raised:
    """A process that goes first. ``nice`` is what its threads had. Mutable, and never leaves this module."""

    __slots__ = ("nice", "pid", "start", "to")

    def __init__(self, pid: int, start: int, to: int, nice: dict[int, int]) -> None:
        self.pid = pid
        self.start = start
        self.to = to
        self.nice = nice


class Front:
    """Owns who is raised, and the list of them below ``folder``, so that each gets its own share back.

    What they start meanwhile is not raised with them: a launcher is in front, and what it starts need not be.
    ``reclaim`` gives (pid, start) of the kernel's threads that reclaim.
    """

    def __init__(
        self,
        proc: str,
        folder: str,
        report: Report,
        wanted: bool = True,
        reclaim: Callable[[str], list[tuple[int, int]]] = reclaim_threads,
    ) -> None:
        self._proc = proc
        self._list = f"{folder}/{LIST_NAME}"
        self._report = report
        self._wanted = wanted
        self._level = 0
        self._until_ms = 0.0
        self._find_reclaim = reclaim
        self._reclaim: list[tuple[int, int]] | None = None
        self._raised: dict[int, Raised] = {}
        self._refused = ""
        self._rows: Sequence[Candidate] = ()
        self._grower = self._suspect = 0

    @property
    def raised(self) -> bool:
        """Is anybody?"""
        return bool(self._raised)

    def __contains__(self, pid: int) -> bool:
        return pid in self._raised

    def obey(self, commands: Iterable[tuple[int, int, int]]) -> None:
        """Of what the guard asked for: NOTIFY, that the level has changed; TRIM, that little is ready to be taken."""
        for operation, _, argument in commands:
            if operation == NOTIFY:
                self._level = argument
                self._settle()
            elif operation == TRIM and argument > 0:
                self.hurry(TRIM_MS)

    def hurry(self, ms: float) -> None:
        """Whatever the level, for so long: somebody grows fast, or little is ready."""
        self._until_ms = max(self._until_ms, now_ms() + ms)
        self._settle()

    def renew(self, rows: Sequence[Candidate]) -> None:
        """These are all processes now."""
        self._rows = rows
        self._settle()

    def leave_out(self, pid: int) -> None:
        """Who grew most since the last look (0: nobody). One that did so twice on end would outrun the reclaim that
        is to go before it, so it is not raised; one that did so once may have begun just now."""
        grower = pid if pid == self._suspect else 0
        self._suspect = pid
        if grower != self._grower:
            self._grower = grower
            self._settle()

    def timeout_ms(self) -> float | None:
        """Until all get their own share back; None when that is not a matter of time."""
        if not self._raised or self._level >= FROM_LEVEL:
            return None
        return max(0.0, self._until_ms - now_ms())

    def turn(self) -> None:
        """Give back what is no longer needed."""
        if self._raised and not self._needed():
            self.put_back("memory is made ready in time")

    def put_back(self, reason: str) -> None:
        """Everybody has its own share again."""
        if self._raised:
            failed = [text for one in list(self._raised.values()) if (text := self._lower(one))]
            self._raised.clear()
            self._write()
            fields = (("processes", 0), ("reason", reason))
            if failed:
                self._report("front", (*fields, ("failed", failed[0])), "warning")
            else:
                self._report("front", fields, "info")

    def restore_left(self) -> None:
        """Those whom a helper before us left raised, by its list; lines that are odd name nobody."""
        data = read_whole(self._list, LIST_BYTES)
        if data is not None:
            for one in filter(None, map(_parse, data.split(b"\n"))):
                self._raised[one.pid] = one
            self.put_back("a helper that died had raised them")
            remove_list(self._list)

    def _needed(self) -> bool:
        return self._level >= FROM_LEVEL or now_ms() < self._until_ms

    def _settle(self) -> None:
        if not self._wanted or self._refused or not self._needed():
            return
        front = [row for row in self._rows if _is_in_front(row, self._grower)]
        wanted = {row.pid: row.start_ticks for row in sorted(front, key=_size)[:FRONT_MAX]}
        over = [one for one in self._raised.values() if one.to == NICE_FRONT and wanted.get(one.pid) != one.start]
        for one in over:
            self._lower(one)  # it has left the front, or grows
            del self._raised[one.pid]
        fresh = [self._measure(pid, start, NICE_FRONT) for pid, start in wanted.items() if pid not in self._raised]
        if wanted and not self._raised:
            if self._reclaim is None:
                self._reclaim = self._find_reclaim(self._proc)
            fresh += [self._measure(pid, start, NICE_RECLAIM) for pid, start in self._reclaim]
        self._raise([one for one in fresh if one is not None])

    def _measure(self, pid: int, start: int, to: int) -> Raised | None:
        """What the threads of a process have; None when there is nothing to raise."""
        if not self._is(pid, start):
            return None
        nice = shares_of(self._proc, pid)
        return Raised(pid, start, to, nice) if nice.get(pid, to) > to else None

    def _raise(self, fresh: list[Raised]) -> None:
        first = not self._raised
        for one in fresh:
            self._raised[one.pid] = one
        refused = self._write() if fresh else ""
        for one in fresh:
            for thread, own in one.nice.items():
                if own > one.to and not refused:
                    refused = raise_alone(thread, one.to)
        if not fresh or not (first or refused):
            return
        fields = (("processes", len(fresh)), ("nice", NICE_FRONT), ("reclaim", NICE_RECLAIM))
        if refused:
            self._refused = refused
            self.put_back("not all could be raised")
            self._report("front", (*fields, ("refused", refused)), "warning")
        else:
            self._report("front", (*fields, ("reason", "memory is short")), "info")

    def _lower(self, one: Raised) -> str:
        """Its threads' own. Empty, or why one could not be set."""
        failed = ""
        for thread in threads_of(self._proc, one.pid) if self._is(one.pid, one.start) else ():
            if nice_of(thread) == one.to:
                failed = lower_again(thread, one.nice.get(thread, one.nice[one.pid])) or failed
        return failed

    def _is(self, pid: int, start: int) -> bool:
        stat = read_stat(self._proc, pid)
        return stat is not None and stat.start_ticks == start and stat.state not in "ZX"

    def _write(self) -> str:
        everybody = self._raised.values()
        return write_list(self._list, [f"{one.pid} {one.start} {one.to} {one.nice[one.pid]}\n" for one in everybody])


def _is_in_front(row: Candidate, grower: int) -> bool:
    return bool(row.flags & FLAG_DECLARED_FOREGROUND) or (row.priority <= PRIORITY_FOREGROUND and row.pid != grower)


def _size(row: Candidate) -> tuple[bool, int]:
    return not row.flags & FLAG_DECLARED_FOREGROUND, -row.resident_kib - row.swapped_kib


def _parse(line: bytes) -> Raised | None:
    fields = line.split()
    if len(fields) != 4 or not all(field.removeprefix(b"-").isdigit() and len(field) < 20 for field in fields):
        return None
    pid, start, to, nice = map(int, fields)
    odd = pid <= 1 or not NICE_HIGHEST <= to < nice <= NICE_LOWEST
    return None if odd else Raised(pid, start, to, {pid: nice})
