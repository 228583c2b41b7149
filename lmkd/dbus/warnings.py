"""When which warning is due: rises at once, and again as long as the pressure stays. Pure.

As low-memory-monitor does it (its src/low-memory-monitor.c, RECOVERY_INTERVAL): of one level at most every 15 s.
"""

from __future__ import annotations

VALUES = {"calm": 0, "low": 50, "moderate": 100, "critical": 255}
"""GMemoryMonitorWarningLevel of GLib 2.64; calm is none of its levels and no warning."""
AGAIN_MS = 15_000.0


class Warnings:
    """What was warned of, and when."""

    def __init__(self) -> None:
        self._level = 0
        self._sent: dict[int, float] = {}

    def see(self, level: str) -> None:
        """The level of pressure now; one that is not known is no reason to warn."""
        self._level = VALUES.get(level, 0)

    def timeout_ms(self, now_ms: float) -> float | None:
        """Until the next warning is due; None while none is."""
        if not self._level:
            return None
        held = [sent_ms + AGAIN_MS for value, sent_ms in self._sent.items() if value >= self._level]
        return max(0.0, max(held, default=now_ms) - now_ms)

    def take(self, now_ms: float) -> int | None:
        """The warning that is due now, None for none; it counts as sent."""
        if self.timeout_ms(now_ms) != 0.0:
            return None
        self._sent[self._level] = now_ms
        return self._level
