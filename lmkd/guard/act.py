"""Act: the one narrow port through which anything is done to the machine, for real or not at all (dry run)."""

from __future__ import annotations

# The C module that ``signal`` wraps: the wrapper brings in enum, 0.6 MB in a resident process (measured on armhf).
import _signal
import errno
import os

from lmkd.kernel.mrelease import mrelease
from lmkd.kernel.process import read_stat
from lmkd.kernel.syscalls import Libc
from lmkd.model import Victim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Port(Protocol):
        """What the guard can do to a process."""

        nice: int
        """Of a victim that is to free its memory, and of a release: the foreground's own, NICE_FRONT or 0."""

        def open(self, victim: Victim) -> Handle | None:
            """Get hold of the victim; None when it is gone or the pid is somebody else's now."""

        def signal(self, handle: Handle, signal: str) -> str:
            """Send SIGTERM or SIGKILL; empty when sent, else why not."""

        def release(self, handle: Handle) -> str:
            """Free its memory for it, at a priority that starves nobody; what came of it."""

        def alive(self, handle: Handle) -> bool:
            """Is it still there? Asked only where no pidfd can tell."""

        def hasten(self, pid: int) -> None:
            """Let it run as soon as anybody: a victim frees its memory itself, and the helper's look may hold it."""

        def limit(self, path: str, kib: int) -> str:
            """Set a zram's mem_limit; empty when set, else why not."""

        def close(self, handle: Handle) -> None:
            """Let go of it."""


SIGNALS = {name: int(getattr(_signal, name)) for name in ("SIGTERM", "SIGKILL", "SIGSTOP", "SIGCONT")}


NICE_FRONT = -15
"""The foreground's own while memory is short (helper/front.py). A release goes with it, neither before nor behind: at
-5 a release of 130 ms left a foreground at 0 a quarter of the processor (gap 181 ms); at 0, one beside a foreground at
-19, which reclaimed for its own pages meanwhile, came 417 ms late."""


class Handle:
    """A victim that we hold: by pidfd (Linux 5.3), or by pid and start time where the kernel has none (-1)."""

    __slots__ = ("descriptor", "pid", "start_ticks")

    def __init__(self, pid: int, start_ticks: int, descriptor: int) -> None:
        self.pid = pid
        self.start_ticks = start_ticks
        self.descriptor = descriptor


class RealPort:
    """Signals real processes. Identity is checked after the pidfd is open, so pid reuse cannot outrun it."""

    def __init__(self, proc: str, libc: Libc | None = None) -> None:
        self._proc = proc
        self._libc = libc or Libc()
        self._pidfd = hasattr(os, "pidfd_open") and hasattr(_signal, "pidfd_send_signal")
        self.nice = 0

    def open(self, victim: Victim) -> Handle | None:
        """See ``Port.open``."""
        descriptor = -1
        if self._pidfd:
            try:
                descriptor = os.pidfd_open(victim.pid)
            except OSError as error:
                if error.errno == errno.ESRCH:
                    return None
                self._pidfd = error.errno != errno.ENOSYS
        stat = read_stat(self._proc, victim.pid)
        if stat is None or stat.start_ticks != victim.start_ticks or stat.state in "ZX":
            if descriptor >= 0:
                os.close(descriptor)
            return None
        return Handle(victim.pid, victim.start_ticks, descriptor)

    def signal(self, handle: Handle, signal: str) -> str:
        """See ``Port.signal``."""
        number = SIGNALS[signal]
        try:
            if handle.descriptor >= 0:
                _signal.pidfd_send_signal(handle.descriptor, number)
            else:
                os.kill(handle.pid, number)
        except ProcessLookupError:
            return ""
        except OSError as error:
            return f"{signal} to {handle.pid}: {error.strerror}"
        return ""

    def release(self, handle: Handle) -> str:
        """See ``Port.release``. Measured: 169 MB released at real-time priority stall all others for 115 ms."""
        if handle.descriptor < 0:
            return "without a pidfd it cannot be released"
        policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        try:
            os.setpriority(os.PRIO_PROCESS, 0, self.nice)
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            return mrelease(self._libc, handle.descriptor)
        except OSError as error:
            return f"sched_setscheduler: {error.strerror}"
        finally:
            os.sched_setscheduler(0, policy, parameter)
            os.setpriority(os.PRIO_PROCESS, 0, nice)

    def alive(self, handle: Handle) -> bool:
        """See ``Port.alive``."""
        stat = read_stat(self._proc, handle.pid)
        return stat is not None and stat.start_ticks == handle.start_ticks and stat.state not in "ZX"

    def hasten(self, pid: int) -> None:
        """See ``Port.hasten``."""
        try:
            if self.nice < 0:  # what a victim starts as it ends is not to have it as well
                policy = os.sched_getscheduler(pid) | os.SCHED_RESET_ON_FORK
                os.sched_setscheduler(pid, policy, os.sched_getparam(pid))
            os.setpriority(os.PRIO_PROCESS, pid, self.nice)
        except OSError:
            return  # it has died: nothing is held any more; or we may not

    def limit(self, path: str, kib: int) -> str:
        """See ``Port.limit``."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, b"%d" % (kib << 10))
            finally:
                os.close(descriptor)
        except OSError as error:
            return f"{path}: {error.strerror}"
        return ""

    def close(self, handle: Handle) -> None:
        """See ``Port.close``."""
        if handle.descriptor >= 0:
            os.close(handle.descriptor)
            handle.descriptor = -1


class DryPort(RealPort):
    """Takes every decision as far as the signal, and does not send it; the victim counts as dead at once."""

    def signal(self, handle: Handle, signal: str) -> str:
        """Nothing is sent."""
        return ""

    def release(self, handle: Handle) -> str:
        """Nothing is released."""
        return ""

    def limit(self, path: str, kib: int) -> str:
        """Nothing is set."""
        return "dry run"

    def hasten(self, pid: int) -> None:
        """Nobody dies."""

    def alive(self, handle: Handle) -> bool:
        """For the policy the victim has died: the next decision is taken as it would be."""
        return False
