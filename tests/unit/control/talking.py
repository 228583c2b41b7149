"""A talker in the test's own process, behind a real listening socket; its helper is a function."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmkd.control.connection import Limits
from lmkd.control.talker import Talker
from lmkd.guard.exchange import Exchange
from lmkd.helper.orders import ANSWER, ORDER
from lmkd.plan import Plan
from lmkd.values import replace
from tests.unit.guard.test_exchange import close
from tests.unit.plans import make_candidate, make_plan

SEQPACKET = socket.SOCK_SEQPACKET


def done(order: tuple[Any, ...]) -> bytes | None:
    """A helper that carries out everything."""
    return ANSWER.pack(order[0], 0, order[3], 0, -1)


class Talking:
    """``turn`` is one turn of the talker, then of its helper; ``orders`` are those that came."""

    def __init__(self, base: Path, limits: Limits | None = None, **changes: Any) -> None:
        self.plan: Plan = make_plan(base, **changes)
        self.exchange = Exchange()
        self.exchange.write_status(b'{"level":"calm"}')
        self.exchange.publish([make_candidate(10), make_candidate(11, -1000)], 1.0)
        Path(self.plan.socket).parent.mkdir(exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, SEQPACKET)
        self._listener.bind(self.plan.socket)
        self._listener.listen(256)
        self._listener.setblocking(False)
        self.helper, theirs = socket.socketpair(socket.AF_UNIX, SEQPACKET)
        self.helper.setblocking(False)
        theirs.setblocking(False)
        self._theirs = theirs
        self.talker = Talker(self.plan, self.exchange, {"native": self._listener}, theirs, limits)
        self.talker._standing.set = lambda relied: None  # type: ignore[method-assign]
        self.orders: list[tuple[Any, ...]] = []
        self.answer: Callable[[tuple[Any, ...]], bytes | None] = done
        self._clients: list[socket.socket] = []
        self._running = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def turn(self, timeout_ms: float = 5.0) -> bool:
        goes_on = self.talker.turn(timeout_ms)
        while True:
            try:
                data = self.helper.recv(256)
            except BlockingIOError:
                return goes_on
            if not data:
                return goes_on
            self.orders.append(ORDER.unpack(data))
            answer = self.answer(self.orders[-1])
            if answer is not None:
                self.helper.send(answer)

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.turn(0)

    def start(self) -> None:
        """Turn in a thread of its own, until closed."""
        self._running = True
        self._thread.start()

    def _run(self) -> None:
        while self._running:
            self.turn()

    def client(self) -> Client:
        connection = socket.socket(socket.AF_UNIX, SEQPACKET)
        connection.settimeout(10)
        connection.connect(self.plan.socket)
        self._clients.append(connection)
        return Client(self, connection)

    def distrust(self, uid: int = 1000) -> None:
        """Whoever is connected and may do all is a user without rights from now on."""
        self.turn(0)
        for one in self.talker.connections.values():
            if one.peer.privileged:
                one.peer = replace(one.peer, uid=uid, privileged=False)

    def close(self) -> None:
        if self._running:
            self._running = False
            self._thread.join(10)
        self.talker.close()
        for one in (self._listener, self.helper, self._theirs, *self._clients):
            one.close()
        os.unlink(self.plan.socket)
        close(self.exchange)


class Client:
    """The test's end of one connection."""

    def __init__(self, talking: Talking, connection: socket.socket) -> None:
        self._talking = talking
        self.socket = connection

    def send(self, message: bytes) -> None:
        self.socket.send(message)

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """One request and its first reply; the talker turns meanwhile unless it runs by itself."""
        self.send(json.dumps({"v": 1, "op": op, **fields}).encode())
        return self.receive()

    def receive(self, turns: int = 200) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.raw(turns))
        return loaded

    def raw(self, turns: int = 200) -> bytes:
        if self._talking._running:
            return self.socket.recv(1 << 17)
        self.socket.setblocking(False)
        for _ in range(turns):
            try:
                return self.socket.recv(1 << 17)
            except BlockingIOError:
                self._talking.turn()
        raise TimeoutError("no message came")

    def waiting(self) -> bytes:
        """The first of what has come and is not read yet."""
        try:
            return self.socket.recv(1 << 17, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""

    def silent(self, turns: int = 6) -> bool:
        """Does nothing come?"""
        try:
            self.raw(turns)
        except TimeoutError:
            return True
        return False

    def ended(self, turns: int = 100) -> bool:
        """Has the talker ended the connection?"""
        try:
            return self.raw(turns) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
