"""Commands that a rule wants run after a kill: started, bounded in time, never waited for."""

from __future__ import annotations

import _signal
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_MS = 10_000
RUNNING_MAX = 4


class Hooks:
    """Owns the running hooks, each with its deadline."""

    def __init__(self, report: Callable[[str, tuple[tuple[str, object], ...], str], None]) -> None:
        self._report = report
        self._running: dict[int, tuple[float, str]] = {}

    def start(self, command: str, pid: int, name: str) -> None:
        """Run ``command`` with LMKD_PID and LMKD_RULE in its environment."""
        if len(self._running) >= RUNNING_MAX:
            self._say(command, pid, f"not run: {RUNNING_MAX} others are still running")
            return
        environment = {**os.environ, "LMKD_PID": str(pid), "LMKD_RULE": name, "LMKD_EVENT": "kill"}
        try:
            child = os.posix_spawn(
                command, [command], environment, setsigdef=[_signal.SIGTERM, _signal.SIGHUP]
            )
        except OSError as error:
            self._say(command, pid, f"cannot be run: {error.strerror}")
            return
        self._running[child] = (time.monotonic() * 1000 + LIMIT_MS, command)

    def timeout_ms(self) -> float | None:
        """Until the next deadline, None when nothing runs."""
        if not self._running:
            return None
        return max(0.0, min(deadline for deadline, _ in self._running.values()) - time.monotonic() * 1000) + 1

    def collect(self) -> None:
        """Take leave of hooks that have ended, and end those that took too long."""
        for child, (deadline, command) in list(self._running.items()):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                del self._running[child]
                if status:
                    self._say(command, child, f"ended with {os.waitstatus_to_exitcode(status)}")
            elif time.monotonic() * 1000 >= deadline:
                os.kill(child, _signal.SIGKILL)
                self._say(command, child, f"ended after {LIMIT_MS} ms")

    def _say(self, command: str, pid: int, outcome: str) -> None:
        self._report("hook", (("command", command), ("pid", pid), ("outcome", outcome)), "warning")
