"""The log where it goes elsewhere than to standard error: the best target that is there, and the next when it goes."""

from __future__ import annotations

from lmkd.helper.log_targets import Target
from lmkd.helper.logbook import STDERR, Logbook
from lmkd.kernel.clock import now_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmkd.guard.exchange import Exchange
    from lmkd.plan import Plan

AGAIN_MS = 10_000.0
"""A target that could not be reached is tried again after so long."""
PAUSE_MS, PAUSE_MAX_MS = 100.0, 10_000.0
"""A target that is full is tried again after so long, each time after twice as long."""


class ChosenLog(Logbook):
    """Owns the target that is in use. The first of the plan's that is there; ``log_asked`` must be, or that is said."""

    def __init__(
        self, plan: Plan, exchange: Exchange, stderr: int = STDERR, paths: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(plan, exchange, stderr)
        self._names = plan.ways.log_to
        self._asked = plan.ways.log_asked
        self._paths = paths or {}
        self._target: Target | None = None
        self._place = -1
        self._again_ms = 0.0
        self._said: set[str] = set()
        self._behind_since_ms, self._pause_ms = -1.0, PAUSE_MS

    def timeout_ms(self) -> float | None:
        """Until records that found no room are tried again; None when all are written."""
        if self._behind_since_ms < 0:
            return None
        return max(0.0, self._behind_since_ms + self._pause_ms - now_ms())

    def drain(self) -> bool:
        """As the other's; what found no room is tried again later and later, as long as there is none."""
        start = self._exchange.log_position
        whole = super().drain()
        if whole:
            self._behind_since_ms, self._pause_ms = -1.0, PAUSE_MS
            return True
        first = self._behind_since_ms < 0 or self._exchange.log_position != start
        self._pause_ms = PAUSE_MS if first else min(2 * self._pause_ms, PAUSE_MAX_MS)
        self._behind_since_ms = now_ms()
        return False

    def close(self) -> None:
        """Let go of the target."""
        if self._target is not None:
            self._target.close()
            self._target = None

    def write(self, line: bytes) -> bool:
        """Write to the best target that there is. True also when nobody takes it: it is in the ring."""
        for _ in range(2 * len(self._names)):
            self._choose()
            if self._target is None:
                break
            try:
                return self._target.write(line)
            except OSError as error:
                self._lose(error)
        return super().write(line) if self._names[-1] == "stderr" else True

    def _choose(self) -> None:
        """Open the first target that can be opened; a better one than is in use is tried from time to time."""
        t_ms = now_ms()
        if (self._target is not None and self._place == 0) or t_ms < self._again_ms:
            return
        self._again_ms = t_ms + AGAIN_MS
        better = self._names if self._target is None else self._names[: self._place]
        for place, name in enumerate(better):
            if name == "stderr":
                return
            try:
                target = Target(name, self._paths.get(name, ""))
            except OSError as error:
                if name == self._asked:
                    self._say(name, error)
                continue
            self.close()
            self._target, self._place = target, place
            return

    def _lose(self, error: OSError) -> None:
        self.close()
        self._again_ms = 0.0
        self._say(self._names[self._place], error)

    def _say(self, name: str, error: OSError) -> None:
        """That a target is not there, once: one that was asked for, or one that was there."""
        if name in self._said:
            return
        self._said.add(name)
        cost = f"records go elsewhere ({error.strerror})"
        self._exchange.post("degraded", (("feature", f"log to {name}"), ("cost", cost)), "warning")
