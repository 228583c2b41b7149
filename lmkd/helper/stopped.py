"""Who is stopped, until when, and the list of them in a file, so that everybody is let go whoever dies."""

from __future__ import annotations

from lmkd.guard.act import RealPort
from lmkd.helper.listing import remove_list, write_list
from lmkd.kernel.clock import now_ms
from lmkd.kernel.freezer import find_mount, freeze, is_frozen, is_path, own_group
from lmkd.kernel.pinned import read_whole
from lmkd.kernel.process import read_stat
from lmkd.model import Victim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    Report = Callable[[str, tuple[tuple[str, object], ...], str], None]

STOPPED_MAX = 32
LIST_NAME = "stopped"
LIST_BYTES = 65536
DIGITS_MAX = 20
GROUP, SIGNAL = "cgroup", "signal"


class Stop:
    """One process that is stopped. Mutable, and never leaves this module."""

    __slots__ = ("how", "name", "path", "pid", "since_ms", "start", "until_ms")

    def __init__(self, pid: int, start: int, name: str, path: str) -> None:
        self.pid = pid
        self.start = start
        self.name = name
        self.how = GROUP if path else SIGNAL
        self.path = path
        self.since_ms = self.until_ms = now_ms()


class Stopped:
    """Stops processes and lets each go in time. ``folder`` is where the list is kept."""

    def __init__(self, proc: str, folder: str, port: RealPort, report: Report) -> None:
        self._proc = proc
        self._list = f"{folder}/{LIST_NAME}"
        self._port = port
        self._report = report
        self._mount: str | None = None
        self._stops: dict[int, Stop] = {}

    def __contains__(self, pid: int) -> bool:
        return pid in self._stops

    def __len__(self) -> int:
        return len(self._stops)

    def stop(self, event: str, pid: int, start: int, name: str, ms: float, own: Container[int], **more: object) -> bool:
        """Stop a process for ``ms`` milliseconds, with its group where that holds nothing but ``own``; one record.

        ``more`` goes into the record. False when it is refused: gone, stopped already, or not to be listed.
        """
        path = own_group(self._proc, self._cgroup2(), pid, own)
        one = Stop(pid, start, name, path)
        refused = self._refusal(one) or self._take(one)
        one.since_ms = now_ms()  # to list it may have taken a while, when memory is short
        one.until_ms = one.since_ms + ms
        fields = (("pid", pid), ("name", name), ("ms", round(ms)), ("how", "" if refused else one.how), *more.items())
        if refused:
            self._report(event, (*fields, ("refused", refused)), "warning")
        else:
            self._report(event, fields, "info")
        return not refused

    def release(self, pid: int, reason: str) -> None:
        """Let a process go, if it is stopped by us."""
        one = self._stops.pop(pid, None)
        if one is None:
            return
        failed = self._let_go(one)
        self._write()
        stopped_ms = round(now_ms() - one.since_ms) if one.since_ms >= 0 else None
        fields = (("pid", pid), ("name", one.name), ("ms", stopped_ms), ("how", one.how), ("reason", reason))
        if failed:
            self._report("release", (*fields, ("failed", failed)), "error")
        else:
            self._report("release", fields, "info")

    def timeout_ms(self) -> float | None:
        """Until the next has to be let go; None when nobody is stopped."""
        if not self._stops:
            return None
        return max(0.0, min(one.until_ms for one in self._stops.values()) - now_ms())

    def turn(self) -> None:
        """Let those go whose time is over, and the groups of those that have died: others may start in them."""
        now = now_ms()
        for one in list(self._stops.values()):
            stat = read_stat(self._proc, one.pid)
            if stat is None or stat.start_ticks != one.start or stat.state in "ZX":
                self.release(one.pid, "it has died")
            elif now >= one.until_ms:
                self.release(one.pid, "its time is over")

    def release_all(self, reason: str) -> None:
        """Let everybody go."""
        for pid in list(self._stops):
            self.release(pid, reason)

    def thaw_left(self) -> None:
        """Let those go whom a helper before us left stopped, by its list; odd lines are reported."""
        data = read_whole(self._list, LIST_BYTES)
        if data is None:
            return
        found, odd = parse_list(data)
        for one in found:
            one.since_ms = -1.0
            self._stops[one.pid] = one
        self.release_all("a helper that died had stopped it")
        if odd:
            cost = f"{self._list}: {odd} lines are not understood: whom they name may still be stopped"
            self._report("degraded", (("feature", "list of stopped"), ("cost", cost)), "warning")
        remove_list(self._list)

    def _cgroup2(self) -> str:
        if self._mount is None:
            self._mount = find_mount(self._proc)
        return self._mount

    def _refusal(self, one: Stop) -> str:
        stat = read_stat(self._proc, one.pid)
        if stat is None or stat.start_ticks != one.start or stat.state in "ZX":
            return "it is gone"
        if one.pid in self._stops or stat.state in "Tt" or (one.path and is_frozen(self._cgroup2(), one.path)):
            return "it is stopped already"
        return "too many are stopped" if len(self._stops) >= STOPPED_MAX else ""

    def _take(self, one: Stop) -> str:
        """Listed first, then stopped: whatever ends us between the two, nobody stays stopped. Empty, or why not."""
        self._stops[one.pid] = one
        refused = self._write() or (
            freeze(self._cgroup2(), one.path, True) if one.path else self._signal(one, "SIGSTOP")
        )
        if refused:
            del self._stops[one.pid]
            self._write()
        return refused

    def _let_go(self, one: Stop) -> str:
        return freeze(self._cgroup2(), one.path, False) if one.path else self._signal(one, "SIGCONT")

    def _signal(self, one: Stop, signal: str) -> str:
        handle = self._port.open(Victim(one.pid, one.start, one.name, 0, -1, 0))
        if handle is None:
            return "it is gone" if signal == "SIGSTOP" else ""
        refused = self._port.signal(handle, signal)
        self._port.close(handle)
        return refused

    def _write(self) -> str:
        return write_list(self._list, [f"{one.pid} {one.start} {one.how} {one.path}\n" for one in self._stops.values()])


def parse_list(data: bytes) -> tuple[list[Stop], int]:
    """The stopped of a list ("pid start how path" a line), and how many lines are torn or odd: these are left out."""
    found, odd = [], 0
    *lines, torn = data.split(b"\n")
    for line in lines:
        fields = line.split(b" ", 3)
        sound = len(fields) == 4 and all(field.isdigit() and len(field) < DIGITS_MAX for field in fields[:2])
        how, path = (field.decode("utf-8", "surrogateescape") for field in fields[2:]) if sound else ("", "")
        if sound and int(fields[0]) > 1 and ((how == SIGNAL and not path) or (how == GROUP and is_path(path))):
            found.append(Stop(int(fields[0]), int(fields[1]), "", path))
        else:
            odd += 1
    return found, odd + bool(torn)
