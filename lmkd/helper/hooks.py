"""Commands that the configuration wants run: started, bounded in time and number, never waited for."""

from __future__ import annotations

import _signal
import os
import time

from lmkd.helper.spawn import own_environment, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Report = Callable[[str, tuple[tuple[str, object], ...], str], None]

LIMIT_MS = 10_000
RUNNING_MAX = 4
NEVER = float("inf")


class Hooks:
    """Owns the running hooks, each with its deadline."""

    def __init__(self, report: Report, limit_ms: float = LIMIT_MS) -> None:
        self._report = report
        self._limit_ms = limit_ms
        self._running: dict[int, tuple[float, float, str, int]] = {}
        """Deadline, limit and command of each child, and whom it is about."""

    def run(
        self,
        command: str,
        pid: int,
        told: dict[str, str],
        arguments: tuple[str, ...] = (),
        limit_ms: float | None = None,
        nice: int = 0,
    ) -> int:
        """Run ``command`` with ``told`` in its environment; ``pid`` is whom it is about, for the record, 0: nobody.

        Returns its process id, 0 when it was not run.
        """
        if len(self._running) >= RUNNING_MAX:
            self._say(command, pid, f"not run: {RUNNING_MAX} others are still running")
            return 0
        shown = " ".join((command, *arguments))
        environment = {**own_environment(), **told}
        environment.pop("NOTIFY_SOCKET", None)
        try:
            child = spawn((command, *arguments), environment, nice=nice)
        except OSError as error:
            self._say(command, pid, f"cannot be run: {error.strerror}")
            return 0
        limit_ms = self._limit_ms if limit_ms is None else limit_ms
        self._running[child] = (time.monotonic() * 1000 + limit_ms, limit_ms, shown, pid)
        return child

    def take(self, child: int) -> None:
        """Take leave of a child that was told to end, when it has; 0: there is none."""
        if child:
            self._running[child] = (NEVER, 0.0, "", 0)

    def runs(self, child: int) -> bool:
        """Is what ``run`` started still there?"""
        return child in self._running

    def timeout_ms(self) -> float | None:
        """Until the next deadline, None when nothing has one."""
        first = min((deadline for deadline, *_ in self._running.values()), default=NEVER)
        return None if first == NEVER else max(0.0, first - time.monotonic() * 1000) + 1

    def collect(self) -> None:
        """Take leave of hooks that have ended, and end those that took too long, with all that they started."""
        for child, (deadline, limit_ms, command, pid) in list(self._running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                del self._running[child]
                if status and deadline != NEVER:
                    self._say(command, pid, f"ended with {os.waitstatus_to_exitcode(status)}")
            elif time.monotonic() * 1000 >= deadline:
                os.killpg(child, _signal.SIGKILL)
                self._running[child] = (NEVER, limit_ms, command, pid)
                self._say(command, pid, f"ended after {limit_ms:.0f} ms")

    def close(self) -> None:
        """End what still runs: there is nobody any more who would do it in time."""
        for child, (deadline, *_) in self._running.items():
            if deadline != NEVER:
                os.killpg(child, _signal.SIGKILL)

    def _say(self, command: str, pid: int, outcome: str) -> None:
        self._report("hook", (("command", command), ("pid", pid), ("outcome", outcome)), "warning")
