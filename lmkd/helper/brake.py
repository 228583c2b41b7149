"""The brake: stops what comes back after its kill and what thrashes, slows what grows, and so what is in front goes."""

from __future__ import annotations

import os
import time

from lmkd.guard.act import RealPort
from lmkd.guard.commands import FREEZE, KILLED, RENICE, START_BITS, THAW
from lmkd.helper.front import Front
from lmkd.helper.groups import descendants
from lmkd.helper.reniced import Reniced
from lmkd.helper.stopped import Stopped
from lmkd.kernel.process import read_cmdline, read_sizes
from lmkd.model import PRIORITY_FOREGROUND
from lmkd.policy import respawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.helper.entry import Entry
    from lmkd.helper.scout import Scout
    from lmkd.helper.stopped import Report
    from lmkd.kernel.syscalls import Libc
    from lmkd.plan import Plan
    from lmkd.policy.respawn import Identity, Suspect

COMMANDS = (KILLED, FREEZE, THAW, RENICE)


class Brake:
    """Owns the suspects, the stopped, the reniced and the raised. In a dry run nobody is touched."""

    def __init__(self, plan: Plan, scout: Scout, libc: Libc, own: tuple[int, ...], report: Report) -> None:
        """``own`` are guard and helper: neither they nor their children are ever stopped."""
        self._settings = plan.settings
        self._dry_run = plan.dry_run
        self._proc = plan.proc
        self._scout = scout
        self._own = own
        self._report = report
        self._tick_ms = 1000 / os.sysconf("SC_CLK_TCK")
        self._suspects: tuple[Suspect, ...] = ()
        self._refused = 0
        self.stopped = Stopped(plan.proc, plan.run_dir, RealPort(plan.proc, libc), report)
        self.reniced = Reniced(plan.proc, plan.run_dir, scout.parents, report)
        wanted = plan.settings.renice and not plan.dry_run
        self.front = Front(plan.proc, plan.run_dir, report, wanted)

    @property
    def alert(self) -> bool:
        """Is there anybody who may come back? Then births are looked at sooner."""
        return bool(self._suspects)

    def obey(self, operation: int, pid: int, argument: int) -> None:
        """One of ``COMMANDS``, as the guard gave it."""
        if self._dry_run:
            return
        if operation == KILLED:
            self.ended(pid, argument)
            self.look(self._scout.pids())  # it may have come back before we read this
        elif operation in (FREEZE, RENICE):
            slow = self._freeze if operation == FREEZE else self._renice
            slow(pid, argument & ((1 << START_BITS) - 1), argument >> START_BITS)
        else:
            self.stopped.release(pid, "it is no longer needed")

    def ended(self, pid: int, t_ms: float) -> None:
        """lmkd has ended this process (monotonic ``t_ms``): a stopped one must be able to die by SIGTERM as well."""
        self.stopped.release(pid, "it is ended")
        self.reniced.release(pid, "it is ended")  # it frees its memory itself
        entry = self._scout.entry(pid)
        if not self._settings.respawn_hold or entry is None or entry.sizes is None or entry.command is None:
            return
        identity = (entry.comm, entry.sizes.user, entry.command)
        killed_ms = t_ms + _boot_ms() - time.monotonic_ns() / 1e6
        self._suspects = respawn.ended(self._suspects, identity, entry.start * self._tick_ms, killed_ms)

    def take_over(self) -> None:
        """Undo what a helper before us left."""
        if not self._dry_run:
            self.stopped.thaw_left()
            self.front.restore_left()
            self.reniced.restore_left()

    def timeout_ms(self) -> float | None:
        """Until the time of the next one is over; None when nobody is stopped or slowed."""
        due = (self.stopped.timeout_ms(), self.reniced.timeout_ms(), self.front.timeout_ms())
        return min((ms for ms in due if ms is not None), default=None)

    def turn(self) -> None:
        """Let those go whose time is over."""
        self.stopped.turn()
        self.reniced.turn()
        self.front.turn()

    def release_all(self, reason: str) -> None:
        """Let everybody go."""
        self.stopped.release_all(reason)
        self.reniced.release_all(reason)
        self.front.put_back(reason)

    def look(self, pids: Iterable[int]) -> None:
        """Hold those of them that have come back too soon."""
        if not self._suspects:
            return
        t_ms = _boot_ms()
        self._suspects = respawn.forget(self._suspects, t_ms)
        for pid in pids:
            entry = self._scout.entry(pid)
            if entry is None or pid in self.stopped:
                continue
            born_ms = entry.start * self._tick_ms
            if not respawn.may_be(self._suspects, entry.comm, born_ms, t_ms):
                continue
            identity = self._identity(pid, entry.comm)
            if identity is None:
                continue
            base_ms, max_ms = self._settings.hold_base_ms, self._settings.hold_max_ms
            self._suspects, held = respawn.meet(self._suspects, identity, born_ms, t_ms, base_ms, max_ms)
            if held is not None:
                entry.respawned = True
                self._hold(pid, entry, held, (held.until_ms or t_ms) - t_ms)

    def _identity(self, pid: int, comm: str) -> Identity | None:
        sizes = read_sizes(self._proc, pid)
        return None if sizes is None else (comm, sizes.user, hash(read_cmdline(self._proc, pid)))

    def _hold(self, pid: int, entry: Entry, suspect: Suspect, ms: float) -> None:
        reason = "it came back after it was ended"
        if pid == self._refused:
            return
        if self._may_stop(entry):
            more = {"round": suspect.round, "reason": reason}
            if not self.stopped.stop("hold", pid, entry.start, entry.name, ms, self._family(pid), **more):
                self._refused = pid
        else:
            self._refused = pid
            refused = "foreground, protected or lmkd's own"
            fields = (("pid", pid), ("name", entry.name), ("round", suspect.round), ("ms", round(ms)), ("how", ""))
            self._report("hold", (*fields, ("reason", reason), ("refused", refused)), "warning")

    def _freeze(self, pid: int, start: int, ms: int) -> None:
        entry = self._scout.entry(pid)
        if entry is not None and entry.start == start and self._may_stop(entry):
            self.stopped.stop("freeze", pid, start, entry.name, ms, self._family(pid), reason="it thrashes")

    def _renice(self, pid: int, start: int, ms: int) -> None:
        entry = self._scout.entry(pid)
        if entry is None or entry.start != start:
            return
        if ms <= 0 or entry.priority <= PRIORITY_FOREGROUND:
            self.reniced.release(pid, "it has come to the front")
        else:
            self.reniced.lower(pid, start, entry.name, ms)
            self.front.hurry(ms)

    def _may_stop(self, entry: Entry) -> bool:
        declared = entry.priority <= PRIORITY_FOREGROUND and not entry.own_adj
        return entry.priority >= PRIORITY_FOREGROUND and not declared and entry.parent not in self._own

    def _family(self, pid: int) -> set[int]:
        """It and all below it that may be stopped with it."""
        family = {pid}
        for other in descendants(pid, self._scout.parents()):
            entry = self._scout.entry(other)
            if entry is not None and self._may_stop(entry):
                family.add(other)
        return family


def _boot_ms() -> float:
    """On the clock of start times, which goes on while the board is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
