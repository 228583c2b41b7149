"""The guard's records, for those of the talker's clients that follow them."""

from __future__ import annotations

from lmkd.control.hands import EVENT
from lmkd.control.order_hands import OrderHands
from lmkd.control.subscribers import Subscribers
from lmkd.errors import LmkdError
from lmkd.kernel import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ERRORS = (LmkdError, OSError, ValueError, KeyError)
REST = 4
"""After each record so many times longer nothing is done as it took to tell it: what is told comes before everybody
else, and a hundred followers of a burst of records would take the processor from them."""


class Events:
    """Tells one record a turn."""

    def __init__(self, hands: OrderHands, subscribers: Subscribers) -> None:
        self._hands = hands
        self._subscribers = subscribers
        self._next: int | None = None
        self._waiting: list[dict[str, Any]] = []
        self._due_ms = 0.0

    @property
    def followed(self) -> bool:
        """Does anybody want them?"""
        return bool(self._subscribers.of(EVENT))

    def timeout_ms(self, poll_ms: float) -> float:
        """When to look again, while they are followed."""
        return max(0.0, self._due_ms - clock.now_ms()) if self._waiting else poll_ms

    def begin(self, now_ms: float) -> None:
        """Before somebody may begin to follow: he is told what comes from now on."""
        if self.followed:
            self.tell_all(now_ms)
            return
        self._waiting.clear()
        self._next = None
        try:
            self._next = self._hands.next_event()
        except ERRORS:
            return

    def tell_next(self, now_ms: float) -> None:
        """The next record, if it is time for it."""
        if now_ms < self._due_ms or not self.followed:
            return
        if not self._waiting:
            self._waiting.extend(self._new())
        if self._waiting:
            self._tell(now_ms)
            told_ms = clock.now_ms()
            self._due_ms = told_ms + REST * (told_ms - now_ms)

    def tell_all(self, now_ms: float) -> None:
        """All that there are."""
        if self.followed:
            self._waiting.extend(self._new())
        while self._waiting:
            self._tell(now_ms)

    def _tell(self, now_ms: float) -> None:
        self._subscribers.notify(EVENT, self._waiting.pop(0), now_ms)

    def _new(self) -> list[dict[str, Any]]:
        try:
            if self._next is None:
                self._next = self._hands.next_event()
            events, self._next = self._hands.follow(self._next)
        except ERRORS:
            return []
        return events
