"""What the guard tells at once: the pressure level and whom it signals, in shared memory beside an eventfd.

Nobody is waited for and nothing is queued: the eventfd counts up, and who is late finds the last state, and of the
victims the last ``RING``.
"""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.model import Kill, Victim
    from lmkd.policy.step import State

RING = 32
LEVEL = struct.Struct("=IBB2xddi96s")
"""Turn (odd while it is written), level, level before, t_ms, exhaustion_ms, headroom_kib, reason."""
VICTIM = struct.Struct("=IiQdhBxIi64s16s")
"""Sequence number, pid, start, t_ms, priority, killed (else SIGTERM), predicted_kib, grace_ms, reason, name."""
SEQUENCE_AT, LEVEL_AT, DROPPED_AT, VICTIMS_AT, COUNTS_AT = 0, 8, 192, 256, 4096
COUNT = struct.Struct("=I")
PRIORITY_LOW, PRIORITY_HIGH = -1000, 1000


class Notices:
    """The guard's end; ``lmkd.control.notices`` reads. ``wake`` is the eventfd, -1 where there is none."""

    def __init__(self, view: memoryview, wake: int) -> None:
        self.view = view
        self.wake = wake

    def tell_level(self, previous: str, state: State, t_ms: float, reason: str) -> None:
        """The level is ``state.level`` now; the numbers are those that it was judged by."""
        from lmkd.policy.pressure import LEVELS  # the guard has it; the helper, which never calls this, does not

        turn = COUNT.unpack_from(self.view, LEVEL_AT)[0] & 0xFFFFFFFE
        COUNT.pack_into(self.view, LEVEL_AT, turn + 1)
        numbers = (LEVELS.index(state.level), LEVELS.index(previous), t_ms, state.exhaustion_ms)
        LEVEL.pack_into(self.view, LEVEL_AT, turn + 1, *numbers, state.room.total_kib, reason.encode()[:96])
        COUNT.pack_into(self.view, LEVEL_AT, (turn + 2) & 0xFFFFFFFF)
        self._ring()

    def tell_kill(self, kill: Kill, victims: Iterable[Victim], state: State, t_ms: float) -> None:
        """These were signalled for the kill that is in flight now."""
        flight = state.flight
        grace_ms = int(flight.deadline_ms - flight.started_ms) if flight is not None and kill.signal == "SIGTERM" else 0
        for victim in victims:
            sequence = (COUNT.unpack_from(self.view, SEQUENCE_AT)[0] + 1) & 0xFFFFFFFF
            VICTIM.pack_into(
                self.view, VICTIMS_AT + sequence % RING * VICTIM.size, sequence, victim.pid, victim.start_ticks, t_ms,
                victim.priority, kill.signal == "SIGKILL", min(victim.predicted_kib, 0xFFFFFFFF), grace_ms,
                kill.reason.encode()[:64], victim.name.encode("utf-8", "replace")[:16],
            )  # fmt: skip
            COUNT.pack_into(self.view, SEQUENCE_AT, sequence)
            at = COUNTS_AT + 4 * (min(max(victim.priority, PRIORITY_LOW), PRIORITY_HIGH) - PRIORITY_LOW)
            COUNT.pack_into(self.view, at, (COUNT.unpack_from(self.view, at)[0] + 1) & 0xFFFFFFFF)
        self._ring()

    def _ring(self) -> None:
        try:
            os.eventfd_write(self.wake, 1)
        except (OSError, AttributeError):
            return  # nobody has read it for very long, or there is none
