"""The talker's loop: one poll over all clients of all control sockets, and nothing in it waits for one of them.

It ends some time after its last client, and when the helper has gone.
"""

from __future__ import annotations

import _socket
import os
import select

from lmkd.control.authority import peer_of
from lmkd.control.connection import Connection, Limits, PeerGone
from lmkd.control.events import Events
from lmkd.control.hands import ABOUT_TO_KILL, LEVEL, VICTIM, Answer, Peer
from lmkd.control.kinds import makers
from lmkd.control.notices import NoticesReader
from lmkd.control.order_hands import OrderHands
from lmkd.control.standing import Standing
from lmkd.control.subscribers import Subscribers
from lmkd.errors import LmkdError
from lmkd.guard.exchange import Exchange
from lmkd.helper.own_share import NICE_RAISED
from lmkd.kernel import clock
from lmkd.plan import Plan
from lmkd.values import replace

ACCEPTS = 32
"""So many a turn: those who connect again and again would keep others waiting for seconds."""
TIDY_MS = 1000.0
"""Clients that are silent, stuck or wait for the helper are looked at so often, beside each time that one is served."""
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Talker:
    """Owns the connections. ``channel`` is the way to the helper; its end is ours."""

    def __init__(
        self, plan: Plan, exchange: Exchange, listeners: Mapping[str, _socket.socket], channel: _socket.socket,
        limits: Limits | None = None,
    ) -> None:  # fmt: skip
        self._plan = plan
        self.limits = limits or Limits(clients=plan.control_clients)
        self.connections: dict[int, Connection] = {}
        self.hands = OrderHands(plan, exchange, channel)
        self._channel = channel
        self._wake = exchange.wake
        self._notices = NoticesReader(exchange.notices.view)
        lost = self._notices.drop_one
        self._subscribers = Subscribers(self.connections, self._flush, self._drop, lost, self._give_way)
        self._listeners = {one.fileno(): (kind, one) for kind, one in listeners.items()}
        self._orders: dict[int, tuple[Connection, float]] = {}
        self._makers = makers(plan, self.hands, exchange)
        self.hands.status_of["clients"] = self._clients
        self._number = 0
        self._events = Events(self.hands, self._subscribers)
        self._empty_ms = clock.now_ms()
        """When the last one has gone."""
        self._tidy_every_ms = min(TIDY_MS, self.limits.idle_ms / 2, self.limits.write_ms / 2, self.limits.order_ms / 2)
        self._tidy_ms = 0.0
        self._held = False
        """Does anybody wait until he may ask again?"""
        self._standing = Standing(plan.proc, plan.page_kib, tells_at=NICE_RAISED if plan.settings.renice else 0)
        self._poll = select.poll()
        for descriptor in (*self._listeners, channel.fileno(), *([self._wake] if self._wake >= 0 else [])):
            self._poll.register(descriptor, select.POLLIN)

    def run(self) -> None:
        """Until nobody is there any more."""
        while self.turn():
            pass

    def turn(self, timeout_ms: float | None = None) -> bool:
        """Wait until something happens, for ``timeout_ms`` at most, and see to it. False when it is time to end."""
        timeout = self._timeout_ms()
        self._standing.wait()
        ready = dict(self._poll.poll(timeout if timeout_ms is None else min(timeout, timeout_ms)))
        now_ms = clock.now_ms()
        if ready.pop(self._wake, 0):
            _drain(self._wake)
        self._tell(now_ms)
        self._subscribers.tell_more(now_ms)
        self._events.tell_next(now_ms)
        if ready:
            self._standing.work()
            if self._channel.fileno() in ready and not self._take_answers(now_ms):
                self._tell(now_ms)  # such as why: a reload ends the helper as well
                self._subscribers.tell_rest()
                self._events.tell_all(now_ms)
                return False
            self._serve_all(ready, now_ms)
        if now_ms >= self._tidy_ms:
            self._end_late(now_ms)
            self._held = any(not one.may_ask for one in self.connections.values())
            self._tidy_ms = now_ms + (self.limits.poll_ms if self._held else self._tidy_every_ms)
        if ready:
            self._standing.set(any(one.session.keeps for one in self.connections.values()))
        return bool(self.connections) or now_ms - self._empty_ms < self.limits.linger_ms

    def close(self) -> None:
        """End all connections."""
        for connection in list(self.connections.values()):
            self._drop(connection)

    def _clients(self) -> dict[str, int]:
        """The talker's part of the status."""
        counts = {"connected": len(self.connections), "registered": self.hands.registered_count()}
        return {**counts, "dropped": self._notices.dropped}

    def _give_way(self) -> None:
        self._standing.tell()

    def _timeout_ms(self) -> float:
        rest_ms = self._subscribers.rest_ms(clock.now_ms())
        if rest_ms is not None:
            return rest_ms
        if not self.connections:
            return max(0.0, self._empty_ms + self.limits.linger_ms - clock.now_ms())
        if self._events.followed or self._wake < 0:
            return self._events.timeout_ms(self.limits.poll_ms)
        return self.limits.poll_ms if self._held else 5000.0

    # Clients.

    def _serve_all(self, ready: Mapping[int, int], now_ms: float) -> None:
        for descriptor, happened in ready.items():
            connection = self.connections.get(descriptor)
            if connection is not None:
                self._serve(connection, happened, now_ms)
                self._tell(now_ms)  # whoever waits to be told waits for one answer at most
        for descriptor, (kind, listener) in self._listeners.items():
            if descriptor in ready:  # last: a new connection may get the descriptor of one that was dropped just now
                for _ in range(ACCEPTS):
                    if not self._accept(kind, listener, now_ms):
                        break

    def _accept(self, kind: str, listener: _socket.socket, now_ms: float) -> bool:
        """False when nobody waits to be let in."""
        try:
            descriptor, _ = listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return False
        connection = _socket.socket(fileno=descriptor)
        self._number += 1
        try:
            peer = peer_of(connection, self._number, self._plan.control_gid, self._plan.proc)
        except OSError:
            connection.close()
            return True
        if not self._has_room(peer):
            connection.close()
            return True
        session = self._makers[kind](peer, self.hands)
        self.connections[descriptor] = Connection(connection, self._number, peer, session, self.limits, now_ms)
        self._poll.register(descriptor, select.POLLIN)
        return True

    def _has_room(self, peer: Peer) -> bool:
        if len(self.connections) >= self.limits.clients or peer.privileged:
            return len(self.connections) < self.limits.clients
        others = [one.peer.uid for one in self.connections.values() if not one.peer.privileged]
        of_user = others.count(peer.uid)
        return len(others) < self.limits.clients - self.limits.kept and of_user < self.limits.clients_of_user

    def _serve(self, connection: Connection, happened: int, now_ms: float) -> None:
        """At most one request a turn of each: none waits for another's many."""
        connection.refill(now_ms)
        try:
            if happened & select.POLLIN and connection.may_ask:
                self._events.begin(now_ms)  # before the session looks at what there is
                began_ms = clock.now_ms()
                self._feed(connection, connection.receive(now_ms), now_ms)
                connection.charge(clock.now_ms() - began_ms)
            elif happened & (select.POLLHUP | select.POLLERR) and not happened & select.POLLIN:
                raise PeerGone
            self._flush(connection, now_ms)
        except PeerGone:
            self._drop(connection)

    def _feed(self, connection: Connection, message: bytes | None, now_ms: float) -> None:
        replies = connection.session.feed(message)
        self._subscribers.ask(connection)
        alike = (one for one in self.connections.values() if one.peer.privileged == connection.peer.privileged)
        if sum(one.reply_bytes for one in alike) + sum(map(len, replies)) > self.limits.reply_bytes:
            raise PeerGone  # all together do not read: this one may come again
        connection.reply(replies, now_ms)
        for number in self.hands.take_numbers():
            self._orders[number] = (connection, now_ms)

    def _flush(self, connection: Connection, now_ms: float) -> None:
        before = connection.unsent
        connection.flush(now_ms)
        if before and not connection.unsent and connection.dropped and LEVEL in connection.interests:
            connection.notify(LEVEL, self._notices.level())  # what was dropped may have been the last change
            connection.flush(now_ms)
        if not connection.may_ask and not self._held:
            self._held, self._tidy_ms = True, min(self._tidy_ms, now_ms + self.limits.poll_ms)
        wanted = (select.POLLIN if connection.may_ask else 0) | (select.POLLOUT if connection.unsent else 0)
        if wanted != connection.watched:
            connection.watched = wanted
            self._poll.modify(connection.descriptor, wanted)

    def _drop(self, connection: Connection) -> None:
        if self.connections.get(connection.descriptor) is not connection:
            return  # it went while it was told something, before its turn
        self._poll.unregister(connection.descriptor)
        del self.connections[connection.descriptor]
        self._subscribers.renew()
        self._empty_ms = clock.now_ms()
        connection.close()
        connection.session.closed()
        self.hands.take_numbers()
        self._orders = {number: row for number, row in self._orders.items() if row[0] is not connection}

    def _end_late(self, now_ms: float) -> None:
        """Those that are silent for too long, or do not read; orders without an answer; who may ask again."""
        for number, (connection, asked_ms) in list(self._orders.items()):
            if now_ms - asked_ms >= self.limits.order_ms:
                late = Answer(f"lmkd's helper did not answer within {self.limits.order_ms} ms")
                self._answer(number, connection, late, now_ms)
        for connection in list(self.connections.values()):
            silent = now_ms - connection.since_ms >= self.limits.idle_ms
            stuck = connection.stuck_ms is not None and now_ms - connection.stuck_ms >= self.limits.write_ms
            if stuck or (silent and not connection.session.keeps and not connection.unsent):
                self._drop(connection)
            elif not connection.may_ask:
                self._renew(connection, now_ms)

    def _renew(self, connection: Connection, now_ms: float) -> None:
        connection.refill(now_ms)
        try:
            self._flush(connection, now_ms)
        except PeerGone:
            self._drop(connection)

    # What is told.

    def _tell(self, now_ms: float) -> None:
        """What the guard has told since this was asked last, to who wants to know; the victims first."""
        if not self._notices.fresh():
            return
        victims = self._notices.victims()
        for victim in victims:
            self._subscribers.notify(ABOUT_TO_KILL, victim, now_ms, victim.pid)
        changed = self._notices.changed()
        if changed is not None:
            self._subscribers.spread(changed, now_ms)
        for victim in victims if self._subscribers.of(VICTIM) else ():
            self._subscribers.notify(VICTIM, self.hands.with_user(victim), now_ms)

    # The helper.

    def _take_answers(self, now_ms: float) -> bool:
        """False when the helper has gone."""
        answers = self.hands.answers()
        if answers is None:
            return False
        for number, answer in answers:
            connection, _ = self._orders.pop(number, (None, 0.0))
            if connection is not None:
                self._answer(number, connection, answer, now_ms)
        try:
            plan = self.hands.take_plan()
        except (OSError, LmkdError):
            return False  # another talker gets it from the helper, and the clients come to that one
        if plan is not None:
            self._go_by(plan)
        return True

    def _go_by(self, plan: Plan) -> None:
        """Go on by a new plan. Who could do all as a member of a group that is another one now comes again."""
        before, self._plan = self._plan, plan
        self.limits = replace(self.limits, clients=plan.control_clients)
        self.hands.go_by(plan)
        if before.control_gid == plan.control_gid:
            return
        for connection in list(self.connections.values()):
            if connection.peer.uid:
                self._drop(connection)

    def _answer(self, number: int, connection: Connection, answer: Answer, now_ms: float) -> None:
        self._orders.pop(number, None)
        began_ms = clock.now_ms()
        connection.reply(connection.session.answered(number, answer), now_ms)
        self._subscribers.ask(connection)
        connection.charge(clock.now_ms() - began_ms)
        try:
            self._flush(connection, now_ms)
        except PeerGone:
            self._drop(connection)


def _drain(descriptor: int) -> None:
    try:
        os.eventfd_read(descriptor)
    except BlockingIOError:
        return
