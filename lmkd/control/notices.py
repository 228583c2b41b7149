"""Reading what the guard tells at once (``lmkd.guard.notices``): the level, the victims, the counts of kills."""

from __future__ import annotations

from lmkd.control.hands import LevelNotice, VictimNotice
from lmkd.guard.notices import (
    COUNT,
    COUNTS_AT,
    DROPPED_AT,
    LEVEL,
    LEVEL_AT,
    PRIORITY_HIGH,
    PRIORITY_LOW,
    RING,
    SEQUENCE_AT,
    VICTIM,
    VICTIMS_AT,
)
from lmkd.policy.forecast import NEVER_MS
from lmkd.policy.pressure import LEVELS, REASONS

TRIES = 100


class NoticesReader:
    """Remembers what it has told. Changes that came too fast to be seen one by one are told as one."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._turn = -1
        self._level = self.level()
        self._sequence = self._last_sequence()

    def level(self) -> LevelNotice:
        """The level as it is. ValueError while it cannot be read whole."""
        for _ in range(TRIES):
            turn, level, previous, t_ms, exhaustion_ms, headroom_kib, reason = LEVEL.unpack_from(self._view, LEVEL_AT)
            if turn % 2 == 0 and COUNT.unpack_from(self._view, LEVEL_AT)[0] == turn:
                lasts_ms = exhaustion_ms if turn and exhaustion_ms < NEVER_MS else None
                text = reason.rstrip(b"\0").decode("utf-8", "ignore") or REASONS[0]
                return LevelNotice(LEVELS[level], LEVELS[previous], t_ms, headroom_kib, lasts_ms, text)
        raise ValueError("the level is being written")

    def fresh(self) -> bool:
        """Has the guard told anything since this was asked last? Costs next to nothing."""
        turn, sequence = COUNT.unpack_from(self._view, LEVEL_AT)[0], self._last_sequence()
        if turn == self._turn and sequence == self._sequence:
            return False
        self._turn = turn
        return True

    def changed(self) -> LevelNotice | None:
        """The level if it is another one than was told last; ``previous`` is that one."""
        now, told = self.level(), self._level
        if now.level == told.level:
            return None
        self._level = now
        return LevelNotice(now.level, told.level, now.t_ms, now.headroom_kib, now.exhaustion_ms, now.reason)

    def victims(self) -> list[VictimNotice]:
        """Those that were signalled since the last call, the last ``RING`` of them."""
        head = self._last_sequence()
        first = max(self._sequence, head - RING) + 1 if head >= self._sequence else 1
        self._sequence = head
        found = (self._victim(sequence) for sequence in range(first, head + 1))
        return [one for one in found if one is not None]

    def kill_count(self, low: int, high: int) -> int:
        """How many with a priority from ``low`` to ``high`` were ended."""
        first, last = max(low, PRIORITY_LOW), min(high, PRIORITY_HIGH)
        if first > last:
            return 0
        start = COUNTS_AT + 4 * (first - PRIORITY_LOW)
        return sum(self._view[start : start + 4 * (last - first + 1)].cast("I"))

    @property
    def dropped(self) -> int:
        """How many notices clients did not get, since lmkd's start: a talker lives shorter than a count must."""
        return int(COUNT.unpack_from(self._view, DROPPED_AT)[0])

    def drop_one(self) -> None:
        """One more. The talker alone writes it, and there is one talker at a time."""
        COUNT.pack_into(self._view, DROPPED_AT, (self.dropped + 1) & 0xFFFFFFFF)

    def _last_sequence(self) -> int:
        return int(COUNT.unpack_from(self._view, SEQUENCE_AT)[0])

    def _victim(self, sequence: int) -> VictimNotice | None:
        row = VICTIM.unpack_from(self._view, VICTIMS_AT + sequence % RING * VICTIM.size)
        number, pid, start, t_ms, priority, killed, predicted_kib, grace_ms, reason, name = row
        if number != sequence:
            return None
        signal = "SIGKILL" if killed else "SIGTERM"
        texts = [text.rstrip(b"\0").decode("utf-8", "ignore") for text in (name, reason)]
        return VictimNotice(sequence, t_ms, pid, start, texts[0], priority, signal, grace_ms, texts[1], predicted_kib)
