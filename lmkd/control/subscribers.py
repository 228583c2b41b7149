"""Who of the talker's clients wants to be told what, and telling all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lmkd.control.connection import Connection, PeerGone


class Subscribers:
    """Keeps the lists: asking each of a hundred sessions at each change takes longer than telling them."""

    def __init__(
        self,
        connections: Mapping[int, Connection],
        flush: Callable[[Connection, float], None],
        drop: Callable[[Connection], None],
        lost: Callable[[], None],
    ) -> None:
        """``flush`` sends what waits, and may raise PeerGone; ``drop`` ends a connection; ``lost`` counts a notice."""
        self._connections = connections
        self._flush = flush
        self._drop = drop
        self._lost = lost
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
        behind = []
        wanting = self.of(kind)
        for connection in [one for one in wanting if pid in one.session.processes] if pid else wanting:
            if connection.unsent:
                behind.append(connection)
            else:
                self._notify(connection, kind, payload, now_ms)
        for connection in behind:
            self._notify(connection, kind, payload, now_ms)

    def _notify(self, connection: Connection, kind: str, payload: object, now_ms: float) -> None:
        waits = connection.unsent
        try:
            if not connection.notify(kind, payload):
                self._lost()
            if connection.unsent and not waits:  # else the poll tells when there is room
                self._flush(connection, now_ms)
        except PeerGone:
            self._drop(connection)
