"""What both clients keep over a restart of lmkd, pure: when to try again, what to ask for again, notices that wait."""

from __future__ import annotations

from collections import deque
from typing import Any

from . import calls
from .calls import Call
from .codec import Link, Notice, Reply
from .errors import Refused

WAITING_MAX = 256
_STABLE_MS = 5_000
"""A connection that held less than this does not count: an lmkd that starts and dies is not asked in a circle."""


class Retry:
    """Delays in ms between attempts to connect: ``first_ms``, then twice the last, ``most_ms`` at most.

    ``spread`` (0..1, such as the process id gives) shortens them by up to a quarter: a hundred applications do not
    come back in the same millisecond.
    """

    def __init__(self, first_ms: int = 200, most_ms: int = 10_000, spread: float = 0.0) -> None:
        if not 0 < first_ms <= most_ms or not 0 <= spread <= 1:
            raise ValueError("0 < first_ms <= most_ms and a spread from 0 to 1 are meant")
        self._first_ms, self._most_ms, self._spread = first_ms, most_ms, spread
        self._failures = 0

    def next_ms(self) -> float:
        """How long to wait before the next attempt."""
        # The exponent is bounded: 2 ** 10000 is a number of 1 KB.
        delay_ms = min(self._most_ms, self._first_ms << min(self._failures, 20))
        self._failures += 1
        return delay_ms * (1 - self._spread / 4)

    def lasted(self, ms: float) -> None:
        """A connection ended after so long; one that was stable starts the delays anew."""
        if ms >= _STABLE_MS:
            self._failures = 0


class Standing:
    """What was registered and subscribed, to be asked for again on each new connection."""

    def __init__(self) -> None:
        self._registered: dict[int | None, Call[Any]] = {}
        self.subscription: Call[str] | None = None
        self.level = "calm"
        """The level last told: with it a change while the connection was gone is noticed."""
        self.refusal = ""
        """What of it the present connection refuses."""

    def register(self, call: Call[Any]) -> None:
        """Keep a registration; what a later one of the same process leaves out stays, as it does in lmkd."""
        pid = call.fields.get("pid")
        before = self._registered.get(pid)
        self._registered[pid] = call._replace(fields={**(before.fields if before else {}), **call.fields})

    def unregister(self, pid: int | None) -> None:
        """Forget it."""
        self._registered.pop(pid, None)

    def subscribe(self, levels: bool, names: tuple[str, ...]) -> None:
        """Keep a subscription in place of the last one."""
        self.subscription = calls.subscribe(levels, names)

    def again(self) -> list[Call[Any]]:
        """All calls to make on a new connection, registrations first."""
        return [*self._registered.values(), *([self.subscription] if self.subscription else [])]

    def refuse(self, call: Call[Any], reason: str) -> None:
        """One of these is refused now. Another process that is registered no more has most likely ended."""
        self.refusal = reason
        if call.op == "register" and call.fields.get("pid") is not None:
            self.unregister(call.fields["pid"])


class Waiting:
    """Notices that nobody has taken yet, bounded: beyond it the oldest are dropped, and the next one taken says so."""

    def __init__(self) -> None:
        self._notices: deque[Notice] = deque()
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._notices)

    def put(self, notice: Notice) -> None:
        """Add the newest."""
        if len(self._notices) == WAITING_MAX:
            lost = self._notices.popleft()
            self._dropped += 1 + (0 if isinstance(lost, Link) else lost.dropped)
        self._notices.append(notice)

    def take(self) -> Notice | None:
        """The oldest, with the count of those lost before it; None: there is none."""
        if not self._notices:
            return None
        notice = self._notices.popleft()
        if self._dropped and not isinstance(notice, Link):
            notice = notice._replace(dropped=notice.dropped + self._dropped)
            self._dropped = 0
        return notice

    def clear(self) -> None:
        """Forget them all."""
        self._notices.clear()
        self._dropped = 0


def answer(reply: Reply) -> dict[str, Any]:
    """The fields of an answer; Refused when it is none."""
    if reply.error is not None:
        raise Refused(f"lmkd refused: {reply.error}")
    return reply.fields


def tells_level(call: Call[Any]) -> bool:
    """Its answer is as good as a notice: the level may have changed while nothing told it."""
    return call.op == "subscribe" and call.fields["levels"] is True
