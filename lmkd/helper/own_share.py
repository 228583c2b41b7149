"""The helper's own share of the processor: little as a rule, more while the guard waits for it."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.helper.brake import Brake

NICE_CALM = 10
NICE_URGENT = 5
NICE_NOW = 0
NICE_RAISED = -5
"""While memory is short all others are behind what is in front: at nice 10 among 131 that thrash a look took 4 s."""


class OwnShare:
    """Owns the nice value of this process."""

    def __init__(self) -> None:
        self.nice = self.wanted = NICE_CALM
        self.brake: Brake | None = None

    def take(self, nice: int) -> None:
        """This one from now on, or ``NICE_RAISED`` where that is more and others are raised."""
        self.wanted = nice
        if self.brake is not None and self.brake.front.raised:
            nice = min(nice, NICE_RAISED)
        if nice == self.nice:
            return
        self.nice = nice
        try:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        except OSError:
            self.nice = NICE_CALM
