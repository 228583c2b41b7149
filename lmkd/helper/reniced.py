"""Who yields the processor, until when, and the list of them in a file, so that each gets its share back."""

from __future__ import annotations

from lmkd.helper.groups import descendants
from lmkd.helper.listing import numbers, remove_list, write_list
from lmkd.kernel.clock import now_ms
from lmkd.kernel.nice import NICE_HIGHEST, NICE_LOWEST, lives, nice_of, set_nice, threads_of
from lmkd.kernel.pinned import read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmkd.helper.stopped import Report

LIST_NAME = "reniced"
LIST_BYTES = 4096


class Yielding:
    """One process that yields. Mutable, and never leaves this module. ``nice`` is what its threads had.

    ``lowest``: processes below it that were at the lowest by themselves.
    """

    __slots__ = ("lowest", "name", "nice", "pid", "start", "until_ms")

    def __init__(self, pid: int, start: int, name: str, until_ms: float, nice: dict[int, int]) -> None:
        self.pid = pid
        self.start = start
        self.name = name
        self.until_ms = until_ms
        self.nice = nice
        self.lowest: set[int] = set()


class Reniced:
    """Gives processes the lowest share of the processor (nice 19, sched(7)), and each its own back in time.

    ``folder`` is where the list is kept; ``parents`` gives (pid, parent) of all known processes.
    """

    def __init__(
        self, proc: str, folder: str, parents: Callable[[], Iterable[tuple[int, int]]], report: Report
    ) -> None:
        self._proc = proc
        self._list = f"{folder}/{LIST_NAME}"
        self._parents = parents
        self._report = report
        self._yielding: dict[int, Yielding] = {}
        self._refused = (0, 0)

    def __contains__(self, pid: int) -> bool:
        return pid in self._yielding

    def lower(self, pid: int, start: int, name: str, ms: float) -> None:
        """Lower all threads of a process for ``ms`` milliseconds; one that yields already does so until then."""
        one = self._yielding.get(pid)
        if one is not None and one.start == start:
            one.until_ms = now_ms() + ms
            return
        if (pid, start) == self._refused or not lives(self._proc, pid, start):
            return
        nice = {thread: share for thread in threads_of(self._proc, pid) if (share := nice_of(thread)) is not None}
        if nice.get(pid, NICE_LOWEST) >= NICE_LOWEST:
            return
        one = self._yielding[pid] = Yielding(pid, start, name, now_ms() + ms, nice)
        one.lowest = {child for child in descendants(pid, self._parents()) if nice_of(child) == NICE_LOWEST}
        refused = self._write()
        for thread in nice if not refused else ():
            refused = refused or set_nice(thread, NICE_LOWEST)
        fields = (("pid", pid), ("name", name), ("nice", NICE_LOWEST), ("was", nice[pid]), ("threads", len(nice)))
        if refused:
            self._refused = (pid, start)
            self._restore(self._yielding.pop(pid))
            self._write()
            self._report("renice", (*fields, ("refused", refused)), "warning")
        else:
            self._report("renice", (*fields, ("reason", "it grows faster than memory is made ready")), "info")

    def release(self, pid: int, reason: str) -> None:
        """Give a process its own share back, if it yields."""
        one = self._yielding.pop(pid, None)
        if one is None:
            return
        failed = self._restore(one)
        self._write()
        fields = (("pid", pid), ("name", one.name), ("nice", one.nice[pid]), ("reason", reason))
        if failed:
            self._report("renice", (*fields, ("failed", failed)), "warning")
        else:
            self._report("renice", fields, "info")

    def timeout_ms(self) -> float | None:
        """Until the next gets its share back; None when nobody yields."""
        if not self._yielding:
            return None
        return max(0.0, min(one.until_ms for one in self._yielding.values()) - now_ms())

    def turn(self) -> None:
        """Give their share back to those whose time is over."""
        now = now_ms()
        for one in list(self._yielding.values()):
            if now >= one.until_ms:
                self.release(one.pid, "its time is over")

    def release_all(self, reason: str) -> None:
        """Give everybody their share back."""
        for pid in list(self._yielding):
            self.release(pid, reason)

    def restore_left(self) -> None:
        """Those whom a helper before us left yielding, by its list; odd lines are reported."""
        data = read_whole(self._list, LIST_BYTES)
        if data is None:
            return
        *lines, torn = data.split(b"\n")
        odd = int(bool(torn))
        for line in lines:
            one = _parse(line)
            if one is None:
                odd += 1
            else:
                self._yielding[one.pid] = one
        self.release_all("a helper that died had reniced it")
        if odd:
            cost = f"{self._list}: {odd} lines are not understood: whom they name may still be at nice {NICE_LOWEST}"
            self._report("degraded", (("feature", "list of reniced"), ("cost", cost)), "warning")
        remove_list(self._list)

    def _restore(self, one: Yielding) -> str:
        """Every thread's own; those born meanwhile, and children, inherited the lowest and get what the first had.

        Empty, or why one could not be set; its children are seen to even when it is dead.
        """
        mine = one.nice[one.pid]
        threads = threads_of(self._proc, one.pid) if lives(self._proc, one.pid, one.start) else []
        for child in descendants(one.pid, self._parents()):
            if child not in one.lowest:
                threads += threads_of(self._proc, child)
        failed = ""
        for thread in threads:
            if nice_of(thread) == NICE_LOWEST:
                failed = set_nice(thread, one.nice.get(thread, mine)) or failed
        return failed

    def _write(self) -> str:
        everybody = self._yielding.values()
        return write_list(self._list, [f"{one.pid} {one.start} {one.nice[one.pid]}\n" for one in everybody])


def _parse(line: bytes) -> Yielding | None:
    found = numbers(line)
    if len(found) != 3:
        return None
    pid, start, nice = found
    return Yielding(pid, start, "", 0.0, {pid: nice}) if pid > 1 and NICE_HIGHEST <= nice < NICE_LOWEST else None
