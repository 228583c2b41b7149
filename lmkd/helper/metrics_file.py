"""The metrics' file: ``lmkd metrics`` is run now and then, as a short process of the lowest priority.

The text is not made here: what makes it would stay in the helper's memory for good.
"""

from __future__ import annotations

from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.helper.hooks import Hooks
    from lmkd.plan import Plan

FIRST_MS = 10_000.0
LIMIT_MS = 60_000.0
NICE = 19
ROOM_KIB = 32 << 10
"""What it takes at most, and twice that."""


class MetricsFile:
    """Owns the time of the next run. One at a time; none while there is no room for it."""

    def __init__(self, plan: Plan, hooks: Hooks, now_ms: float) -> None:
        ways = plan.ways
        self._command = (*plan.reload_argv, "metrics", "--socket", plan.socket, "--output", ways.metrics_file)
        self._meminfo = f"{plan.proc}/meminfo"
        self._every_ms = float(ways.metrics_ms)
        self._hooks = hooks
        self._child = 0
        self._due_ms = now_ms + min(FIRST_MS, self._every_ms)

    def timeout_ms(self, now_ms: float) -> float:
        """How long the loop may wait."""
        return max(0.0, self._due_ms - now_ms)

    def turn(self, now_ms: float) -> None:
        """Run it, if it is time and there is room."""
        if now_ms < self._due_ms:
            return
        self._due_ms = now_ms + self._every_ms
        available_kib = find_number(read_once(self._meminfo) or b"", b"MemAvailable:")
        if self._hooks.runs(self._child) or available_kib is None or available_kib < ROOM_KIB:
            return
        program, *arguments = self._command
        self._child = self._hooks.run(program, 0, {}, tuple(arguments), LIMIT_MS, NICE)
