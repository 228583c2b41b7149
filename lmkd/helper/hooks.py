"""Commands that a rule wants run after a kill: started, bounded in time, never waited for."""

from __future__ import annotations

import _signal
import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Report = Callable[[str, tuple[tuple[str, object], ...], str], None]

LIMIT_MS = 10_000
RUNNING_MAX = 4
NEVER = float("inf")
SIGNALS = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT, _signal.SIGPIPE)


class Hooks:
    """Owns the running hooks, each with its deadline."""

    def __init__(self, report: Report, limit_ms: float = LIMIT_MS) -> None:
        self._report = report
        self._limit_ms = limit_ms
        self._running: dict[int, tuple[float, str]] = {}

    def start(self, command: str, pid: int, name: str) -> None:
        """Run ``command`` after a kill, with LMKD_PID and LMKD_RULE in its environment."""
        self.run(command, pid, {"LMKD_PID": str(pid), "LMKD_RULE": name, "LMKD_EVENT": "kill"})

    def run(self, command: str, pid: int, told: dict[str, str]) -> None:
        """Run ``command`` with ``told`` in its environment; ``pid`` is whom it is about, for the record, 0: nobody."""
        if len(self._running) >= RUNNING_MAX:
            self._say(command, pid, f"not run: {RUNNING_MAX} others are still running")
            return
        environment = {**os.environ, **told}
        environment.pop("NOTIFY_SOCKET", None)
        try:
            child = _spawn(command, environment)
        except OSError as error:
            self._say(command, pid, f"cannot be run: {error.strerror}")
            return
        self._running[child] = (time.monotonic() * 1000 + self._limit_ms, command)

    def timeout_ms(self) -> float | None:
        """Until the next deadline, None when nothing has one."""
        first = min((deadline for deadline, _ in self._running.values()), default=NEVER)
        return None if first == NEVER else max(0.0, first - time.monotonic() * 1000) + 1

    def collect(self) -> None:
        """Take leave of hooks that have ended, and end those that took too long, with all that they started."""
        for child, (deadline, command) in list(self._running.items()):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                del self._running[child]
                if status and deadline != NEVER:
                    self._say(command, child, f"ended with {os.waitstatus_to_exitcode(status)}")
            elif time.monotonic() * 1000 >= deadline:
                os.killpg(child, _signal.SIGKILL)
                self._running[child] = (NEVER, command)
                self._say(command, child, f"ended after {self._limit_ms:.0f} ms")

    def _say(self, command: str, pid: int, outcome: str) -> None:
        self._report("hook", (("command", command), ("pid", pid), ("outcome", outcome)), "warning")


def _spawn(command: str, environment: dict[str, str]) -> int:
    """Start ``command`` as an ordinary process in a session of its own; the pid, or OSError when it cannot be run.

    By fork, not posix_spawn: what lmkd starts must inherit neither its oom_score_adj of -1000 nor its niceness.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.fork()
        if child == 0:
            _become(command, environment, writer)
        os.close(writer)
        writer = -1
        failure = os.read(reader, 16)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if failure:
        os.waitpid(child, 0)
        raise OSError(int(failure), os.strerror(int(failure)))
    return child


def _become(command: str, environment: dict[str, str], writer: int) -> None:
    """The child: tells through the pipe why it could not become the command. Never returns."""
    number = errno.EINVAL
    try:
        os.setsid()
        for each in SIGNALS:
            _signal.signal(each, _signal.SIG_DFL)
        _be_ordinary()
        os.execve(command, [command], environment)
    except OSError as error:
        number = error.errno or number
    finally:
        os.write(writer, b"%d" % number)
        os._exit(127)


def _be_ordinary() -> None:
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"0")
        finally:
            os.close(descriptor)
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    except OSError:
        return  # no /proc, or no right to a better priority: the hook runs as we do
