"""Who of the talker's clients wants to be told what, and telling all of them."""

from __future__ import annotations

from lmkd.control.connection import Connection, PeerGone
from lmkd.kernel import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE_MS, LOOK_EVERY = 10.0, 8
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
        began_ms = clock.now_ms()
        for number, connection in enumerate((*ahead, *behind), start=1):
            self._notify(connection, kind, payload, now_ms)
            if not number % LOOK_EVERY and clock.now_ms() - began_ms > PATIENCE_MS:
                self._give_way()

    def _notify(self, connection: Connection, kind: str, payload: object, now_ms: float) -> None:
        waits = connection.unsent
        try:
            if not connection.notify(kind, payload):
                self._lost()
            if connection.unsent and not waits:  # else the poll tells when there is room
                self._flush(connection, now_ms)
        except PeerGone:
            self._drop(connection)
