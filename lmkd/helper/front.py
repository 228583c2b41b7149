"""The order of the processor while memory is short: what is in front, then the kernel's reclaim, then all others.

With equal shares the foreground waits for its turn among all that reclaim for pages of their own, and kswapd, which
would spare everybody that work, waits among them as well: where dozens of applications run and do not fit, a
foreground that needs 2 ms in each 20 ms has waited for 937 ms (tests.board.chance, seed 2). Nice values count among
tasks of one scheduling group (sched(7)), as for ``policy.renice``.
"""

from __future__ import annotations

from lmkd.guard.act import NICE_FRONT
from lmkd.guard.commands import TRIM
from lmkd.helper.listing import remove_list, write_list
from lmkd.helper.raised import Raised, measure, parse
from lmkd.kernel.clock import now_ms
from lmkd.kernel.nice import may_raise, reclaim_threads
from lmkd.kernel.pinned import read_whole
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
GROWS_MS = 1000.0
"""Who was seen to grow twice within this time grows on, until so long after it was seen last."""
AGAIN_MS = 10_000.0
"""After this it is tried again where it was refused."""
FRONT_MAX = 48
"""So many processes are raised at most, the declared and then the largest first."""
LIST_NAME = "raised"
LIST_BYTES = 32768


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
        self._find_reclaim = reclaim
        self._reclaim: list[tuple[int, int]] | None = None
        self._level = 0
        self._until_ms = self._again_ms = 0.0
        self._rows: Sequence[Candidate] = ()
        self._grew: dict[int, tuple[float, int]] = {}
        self._growers: set[int] = set()
        self._raised: dict[int, Raised] = {}
        self._spared: set[tuple[int, int]] = set()
        self._said, self._refused = False, ""

    @property
    def raised(self) -> bool:
        """Is anybody?"""
        return bool(self._raised)

    @property
    def crowded(self) -> bool:
        """Is anybody raised, and memory so short that all others may thrash?"""
        return bool(self._raised) and self._level > FROM_LEVEL

    def __contains__(self, pid: int) -> bool:
        return pid in self._raised

    def obey(self, commands: Iterable[tuple[int, int, int]], level: int) -> None:
        """The level is ``LEVELS[level]`` now. Of what the guard asked for: TRIM, that little is ready to be taken."""
        if any(operation == TRIM and argument > 0 for operation, _, argument in commands):
            self._until_ms = max(self._until_ms, now_ms() + TRIM_MS)
        elif level == self._level:
            return
        self._level = level
        self._settle()

    def hurry(self, ms: float) -> None:
        """Whatever the level, for so long: somebody grows fast."""
        self._until_ms = max(self._until_ms, now_ms() + ms)
        self._settle()

    def renew(self, rows: Sequence[Candidate]) -> None:
        """These are all processes now."""
        if self._reclaim is None and self._wanted:
            # At the start: it takes 20 ms, which at the front's own share the foreground would lack later.
            self._reclaim = self._find_reclaim(self._proc)
        self._rows = rows
        self._settle()

    def looked(self, grown: int) -> None:
        """After a look at all: who grew most since the last one (0: nobody).

        One that grows on would outrun the reclaim that is to go before it, so it is not raised; one that did so once
        may have begun just now.
        """
        now = now_ms()
        if grown:
            self._grew[grown] = now, self._grew.get(grown, (now, 0))[1] + 1
        self._grew = {pid: seen for pid, seen in self._grew.items() if now - seen[0] <= GROWS_MS}
        self._growers = {pid for pid, (_, times) in self._grew.items() if times > 1}
        self._settle()
        for one in self._raised.values():
            one.raise_born(self._proc)

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
        failed = [text for one in self._raised.values() if (text := one.lower(self._proc))]
        if self._raised:
            self._raised.clear()
            self._write()
        self._spared.clear()
        fields = (("processes", 0), ("reason", reason))
        if failed:
            self._report("front", (*fields, ("failed", failed[0])), "warning")
        elif self._said:
            self._report("front", fields, "info")
        self._said = False

    def restore_left(self) -> None:
        """Those whom a helper before us left raised, by its list; lines that are odd name nobody."""
        data = read_whole(self._list, LIST_BYTES)
        if data is not None:
            self._raised = {one.pid: one for one in map(parse, data.split(b"\n")) if one is not None}
            self._said = self.raised
            self.put_back("a helper that died had raised them")
            remove_list(self._list)

    def _needed(self) -> bool:
        return self._level >= FROM_LEVEL or now_ms() < self._until_ms

    def _settle(self) -> None:
        if not self._wanted or not self._needed() or now_ms() < self._again_ms:
            return
        front = [row for row in self._rows if _is_in_front(row, self._growers)]
        chosen = sorted(front, key=lambda row: (*_rank(row), row.pid not in self._raised))[:FRONT_MAX]
        wanted = {row.pid: row.start_ticks for row in chosen}
        if not wanted:
            self.put_back("nobody is in front")
            return
        over = [one for one in self._raised.values() if one.to == NICE_FRONT and wanted.get(one.pid) != one.start]
        for one in over:
            one.lower(self._proc)  # it has left the front, or grows
            del self._raised[one.pid]
        fresh = [self._measure(pid, start, NICE_FRONT) for pid, start in wanted.items()]
        fresh += [self._measure(pid, start, NICE_RECLAIM) for pid, start in self._reclaim or ()]
        self._raise([one for one in fresh if one is not None], bool(over))

    def _measure(self, pid: int, start: int, to: int) -> Raised | None:
        if pid in self._raised or (pid, start) in self._spared:
            return None
        one = measure(self._proc, pid, start, to)
        if one is None:
            self._spared.add((pid, start))
        return one

    def _raise(self, fresh: list[Raised], changed: bool) -> None:
        """Listed first, then raised: who dies in between leaves a list that names too many, and never too few."""
        refused = may_raise() if fresh and not self._raised else ""
        self._raised.update({one.pid: one for one in fresh} if not refused else {})
        refused = refused or (self._write() if fresh or changed else "")
        if refused:
            self.put_back("not all could be raised")
            self._refuse(len(fresh), refused)
            self._again_ms = now_ms() + AGAIN_MS
            return
        for one in fresh:
            text = one.raise_all()
            if text:
                one.lower(self._proc)
                del self._raised[one.pid]
                self._spared.add((one.pid, one.start))
                self._refuse(1, text)
        if self._raised and not self._said:
            self._said = True
            fields = (("processes", len(self._raised)), ("nice", NICE_FRONT), ("reclaim", NICE_RECLAIM))
            self._report("front", (*fields, ("reason", "memory is short")), "info")

    def _refuse(self, many: int, text: str) -> None:
        if text != self._refused:
            self._refused = text
            fields = (("processes", many), ("nice", NICE_FRONT), ("reclaim", NICE_RECLAIM), ("refused", text))
            self._report("front", fields, "warning")

    def _write(self) -> str:
        return write_list(self._list, [one.line() for one in self._raised.values()])


def _is_in_front(row: Candidate, growers: set[int]) -> bool:
    if row.flags & FLAG_DECLARED_FOREGROUND:
        return True
    return row.priority <= PRIORITY_FOREGROUND and row.pid not in growers


def _rank(row: Candidate) -> tuple[bool, int]:
    """The declared first, then the larger by powers of two: a page more or less makes nobody another's place."""
    return not row.flags & FLAG_DECLARED_FOREGROUND, -(row.resident_kib + row.swapped_kib).bit_length()
