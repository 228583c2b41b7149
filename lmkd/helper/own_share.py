"""The helper's own share of the processor: little as a rule, more while the guard waits for it."""

from __future__ import annotations

import os
import time

from lmkd.kernel.clock import now_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.helper.brake import Brake

NICE_CALM = 10
NICE_URGENT = 5
NICE_NOW = 0
NICE_RAISED = -5
"""From the level moderate up: at nice 10 among 131 that thrash a look took 4 s."""


class OwnShare:
    """Owns the nice value of this process."""

    def __init__(self) -> None:
        self.nice = self.wanted = NICE_CALM
        self.brake: Brake | None = None
        self._looked_ms = self._looked_at_ms = 0.0

    def hurry(self) -> None:
        """Like any program, or ahead of all others where the guard has hastened us."""
        self.nice = os.getpriority(os.PRIO_PROCESS, 0)
        if self.nice > NICE_NOW:
            self.take(NICE_NOW)

    def may_look(self, urgent: bool) -> bool:
        """Is it time to look at all again? Of the processor that takes a quarter at most, where it is urgent a half."""
        rests = self._looked_ms * (1 if urgent else 3)
        return now_ms() >= self._looked_at_ms + rests

    def looked(self, began_ns: int) -> None:
        """A look at all has ended that began at this time of ``time.process_time_ns``."""
        self._looked_ms = (time.process_time_ns() - began_ns) / 1e6
        self._looked_at_ms = now_ms()

    def take(self, nice: int) -> None:
        """This one from now on, or ``NICE_RAISED`` where that is more and others are raised."""
        self.wanted = nice
        front = self.brake.front if self.brake is not None else None
        if front is not None and front.crowded:
            nice = min(nice, NICE_RAISED)
        if nice == self.nice and not (front is not None and front.raised):  # else the guard may have hastened us
            return
        self.nice = nice
        try:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        except OSError:
            self.nice = NICE_CALM
