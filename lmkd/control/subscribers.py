"""Who of the talker's clients wants to be told what, and telling all of them."""

from __future__ import annotations

from lmkd.control.connection import Connection, PeerGone
from lmkd.control.hands import LEVEL, LevelNotice
from lmkd.kernel import clock
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

AT_ONCE, MORE, REST_MS = 8, 4, 4.0
"""So many are told of a level at once, then more after each rest: each that is woken wants the processor before the
foreground, 0.5 ms of a 500 MIPS core. Fifty at once took a frame from it, and the last of them was no sooner told. Of
those told later only so many are awake at a time: where the kernel has no page left, one whose own pages lie in the
store has to make room for them first, and ten that do so took 150 ms from the foreground."""
AWAKE_MS = 100.0
"""One that has not read by then does not hold up the others."""
PATIENCE_MS = 5.0
"""Who is not told by then is late whatever is done: the kernel has no memory for the messages, and must get some."""


class Subscribers:
    """Keeps the lists: asking each of a hundred sessions at each change takes longer than telling them."""

    def __init__(
        self,
        connections: Mapping[int, Connection],
        flush: Callable[[Connection, float], None],
        drop: Callable[[Connection], None],
        lost: Callable[[], None],
        give_way: Callable[[], None],
    ) -> None:
        """How to send what waits (may raise PeerGone), end a connection, count a lost notice, give way to others."""
        self._connections = connections
        self._flush = flush
        self._drop = drop
        self._lost = lost
        self._give_way = give_way
        self._wanting: dict[str, list[Connection]] = {}
        self._later: dict[int, tuple[Connection, LevelNotice]] = {}
        self._more_ms = 0.0
        self._awake: list[tuple[Connection, float]] = []
        """Who was woken, and when."""

    def of(self, kind: str) -> list[Connection]:
        """Those that want this kind of notice."""
        found = self._wanting.get(kind)
        if found is None:
            found = self._wanting[kind] = [one for one in self._connections.values() if kind in one.interests]
        return found

    def ask(self, connection: Connection) -> None:
        """It has asked for something: it may have changed its mind."""
        wanted = connection.session.interests
        if wanted != connection.interests:
            connection.interests = wanted
            self.renew()

    def renew(self) -> None:
        """Somebody has changed his mind, or gone."""
        self._wanting = {}

    def notify(self, kind: str, payload: object, now_ms: float, pid: int = 0) -> None:
        """Tell all, or those who wait for the end of ``pid``; those that read before those that do not."""
        wanting = self.of(kind)
        wanting = [one for one in wanting if pid in one.session.processes] if pid else wanting
        behind = [one for one in wanting if one.unsent]
        ahead = [one for one in wanting if not one.unsent] if behind else wanting
        self._tell(kind, payload, (*ahead, *behind), now_ms)

    def spread(self, notice: LevelNotice, now_ms: float) -> None:
        """Tell some of a level at once, the rest by and by (``tell_more``)."""
        behind = [one for one in self.of(LEVEL) if one.unsent and id(one) not in self._later]  # they do not wake
        ahead = [one for one in self.of(LEVEL) if not one.unsent and id(one) not in self._later]
        for key, (connection, before) in list(self._later.items()):
            self._later[key] = connection, replace(notice, previous=before.previous)
            if before.previous == notice.level:
                del self._later[key]  # it is again as it was told
        self._later |= {id(one): (one, notice) for one in ahead[AT_ONCE:]}
        self._tell(LEVEL, notice, ahead[:AT_ONCE], now_ms)
        if behind:
            self._give_way()  # fifty take 4 ms, and somebody was woken
            self._tell(LEVEL, notice, behind, now_ms)
        self._more_ms = max(self._more_ms, now_ms + REST_MS)

    def tell_more(self, now_ms: float) -> None:
        """Tell the next of those that wait, if it is time."""
        if not self._later or now_ms < self._more_ms:
            return
        self._more_ms = now_ms + REST_MS
        self._give_way()
        self._awake = [one for one in self._awake if now_ms - one[1] < AWAKE_MS and self._has_to_read(one[0])]
        told = 0
        while self._later and told < MORE and len(self._awake) < MORE:
            connection, notice = self._later.pop(next(iter(self._later)))
            if self._connections.get(connection.descriptor) is connection and LEVEL in connection.interests:
                if not connection.has_unread():  # else it is awake already, or never reads
                    self._awake.append((connection, now_ms))
                self._notify(connection, LEVEL, notice, now_ms)
                told += 1

    def _has_to_read(self, connection: Connection) -> bool:
        """Has it still to read what it was told?"""
        return self._connections.get(connection.descriptor) is connection and connection.has_unread()

    def tell_rest(self) -> None:
        """Tell all that wait: there is no later."""
        while self._later:
            self._awake.clear()
            self.tell_more(self._more_ms)

    def rest_ms(self, now_ms: float) -> float | None:
        """When to come back for those that wait; None when nobody does."""
        return max(0.0, self._more_ms - now_ms) if self._later else None

    def _tell(self, kind: str, payload: object, whom: Iterable[Connection], now_ms: float) -> None:
        began_ms = clock.now_ms()
        for connection in whom:
            self._notify(connection, kind, payload, now_ms)
            if clock.now_ms() - began_ms > PATIENCE_MS:
                self._give_way()

    def _notify(self, connection: Connection, kind: str, payload: object, now_ms: float) -> None:
        waits, asked = connection.unsent, connection.session.waiting
        try:
            if not connection.notify(kind, payload):
                self._lost()
            answered = asked and not connection.session.waiting  # this was what it waited for
            if answered:
                self.ask(connection)
            if answered or (connection.unsent and not waits):  # else the poll tells when there is room
                self._flush(connection, now_ms)
        except PeerGone:
            self._drop(connection)
