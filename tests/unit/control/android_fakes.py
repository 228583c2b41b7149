"""Hands with a registry in memory, and a small loop that serves Android's sessions over a real socket."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lmkd.control.android_session import AndroidSession
from lmkd.control.android_shared import Shared
from lmkd.control.hands import (
    EVENT,
    VICTIM,
    Answer,
    LevelNotice,
    Peer,
    Process,
    Registered,
    VictimNotice,
    Wish,
)
from lmkd.errors import ControlError

REGISTRY_MAX = 256


class FakeHands:
    """Orders are kept until ``carry_out``; processes are those of ``alive`` (pid to uid)."""

    def __init__(self) -> None:
        self.alive: dict[int, int] = {}
        self.registry: dict[int, Registered] = {}
        self.kills: list[int] = []
        self.rows: list[dict[str, Any]] = []
        self.orders: list[tuple[int, str, Peer | None, Any]] = []
        self.reloads_fail = ""
        self.trouble = ""
        self._numbers = iter(range(1, 1_000_000_000))

    def carry_out(self) -> list[tuple[int, Answer]]:
        """What the helper would do with the orders since the last call, and its answers."""
        orders, self.orders = self.orders, []
        return [(number, self._do(name, peer, item)) for number, name, peer, item in orders]

    def _do(self, name: str, peer: Peer | None, item: Any) -> Answer:
        if name == "register" and peer is not None:
            if len(self.registry) >= REGISTRY_MAX and item.pid not in self.registry:
                return Answer(error="the registry is full")
            self.registry[item.pid] = Registered(
                item.pid, item.pid * 10, self.alive[item.pid], item.priority, None, None, 0, peer.pid, True, "app",
                peer.start_ticks, item.record,
            )  # fmt: skip
            return Answer(priority=item.priority)
        if name == "remove":
            del self.registry[item]
        elif name == "purge" and peer is not None:
            who = peer.pid, peer.start_ticks
            for pid in [pid for pid, found in self.registry.items() if (found.owner, found.owner_start) == who]:
                del self.registry[pid]
        elif name == "reload":
            return Answer(error=self.reloads_fail)
        return Answer()

    def _order(self, name: str, peer: Peer | None, item: Any = None) -> int:
        if self.trouble:
            raise ControlError(self.trouble)
        number = next(self._numbers)
        self.orders.append((number, name, peer, item))
        return number

    def process(self, pid: int) -> Process:
        if pid not in self.alive:
            raise ControlError(f"there is no process {pid}")
        return Process(pid, pid * 10, self.alive[pid], "app")

    def registered(self, pid: int) -> Registered | None:
        return self.registry.get(pid)

    def records(self) -> Iterable[Registered]:
        return [found for found in self.registry.values() if found.record]

    def register(self, peer: Peer, wish: Wish) -> int:
        return self._order("register", peer, wish)

    def remove(self, peer: Peer, pid: int) -> int:
        self.process(pid)
        return self._order("remove", peer, pid)

    def purge(self, peer: Peer) -> int:
        return self._order("purge", peer)

    def trim(self, peer: Peer, pid: int, kib: int) -> int:
        raise AssertionError("no part of the protocol")

    def kill(self, peer: Peer, pid: int) -> int:
        raise AssertionError("no part of the protocol")

    def reload(self, peer: Peer) -> int:
        return self._order("reload", peer)

    def refresh(self) -> int:
        raise AssertionError("no part of the protocol")

    def status(self) -> Mapping[str, Any]:
        return {}

    def policy(self) -> Iterable[Mapping[str, Any]]:
        return ()

    def tmpfs(self) -> Mapping[str, Any]:
        return {}

    def events_since(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        return [], sequence

    def candidates(self) -> Iterable[Mapping[str, Any]]:
        return iter(self.rows)

    def level(self) -> LevelNotice:
        raise AssertionError("no part of the protocol")

    def metrics(self) -> str:
        raise AssertionError("no part of the protocol")

    def kill_count(self, low: int, high: int) -> int:
        if self.trouble:
            raise ControlError(self.trouble)
        return sum(low <= priority <= high for priority in self.kills)


def victim(pid: int, sequence: int = 1, **changed: Any) -> VictimNotice:
    """A notice of a kill of ``pid``, whose start time is as the fake registry has it."""
    fields: dict[str, Any] = {
        "sequence": sequence, "t_ms": 1000.0, "pid": pid, "start_ticks": pid * 10, "name": "app", "priority": 900,
        "signal": "SIGTERM", "grace_ms": 100, "reason": "priority", "predicted_kib": 2048, "uid": 1000,
    }  # fmt: skip
    return VictimNotice(**(fields | changed))


class Served:
    """A SOCK_SEQPACKET socket whose connections get sessions; what happens to the hands happens in its thread."""

    def __init__(self, path: Path) -> None:
        self.hands = FakeHands()
        self.shared = Shared()
        self.sessions: dict[int, tuple[socket.socket, AndroidSession]] = {}
        self._waker, self._woken = socket.socketpair()
        self._notices: list[tuple[str, object]] = []
        self._ends = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def notify(self, kind: str, payload: object) -> None:
        """Give all sessions that want it a notice."""
        self._notices.append((kind, payload))
        self._waker.send(b"n")

    def end(self) -> None:
        self._ends = True
        self._waker.send(b"e")
        self._thread.join(10)
        for connection, _ in self.sessions.values():
            connection.close()
        for each in (self._listener, self._waker, self._woken):
            each.close()

    def _run(self) -> None:
        while not self._ends:
            known = {connection.fileno(): pid for pid, (connection, _) in self.sessions.items()}
            listener, woken = self._listener.fileno(), self._woken.fileno()
            ready, _, _ = select.select([listener, woken, *known], [], [], 10)
            if listener in ready:
                self._accept()
            if woken in ready:
                self._woken.recv(1)
                self._tell()
            for descriptor in ready:
                if descriptor in known:
                    self._read(known[descriptor])

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, _ = struct.unpack("=iii", credentials)
        number = max(self.sessions, default=0) + 1
        self.sessions[number] = connection, AndroidSession(Peer(number, pid, uid, True), self.hands, self.shared)

    def _read(self, number: int) -> None:
        connection, session = self.sessions[number]
        try:
            message, _, flags, _ = connection.recvmsg(4096)
        except ConnectionResetError:  # it went without reading everything
            message, flags = b"", 0
        if not message:
            session.closed()
            connection.close()
            del self.sessions[number]
            return
        replies = session.feed(None if flags & socket.MSG_TRUNC else message)
        while self.hands.orders:
            reloads = any(name == "reload" for _, name, _, _ in self.hands.orders)
            for order, answer in self.hands.carry_out():
                replies += session.answered(order, answer)
            if reloads:
                replies += filter(None, [session.notify(EVENT, {"event": "reload"}, 0)])
        with contextlib.suppress(ConnectionError):
            for reply in replies:
                connection.send(reply)

    def _tell(self) -> None:
        while self._notices:
            kind, payload = self._notices.pop(0)
            for connection, session in self.sessions.values():
                message = session.notify(kind, payload, 0) if kind in session.interests else None
                if message is not None:
                    connection.send(message)


@contextlib.contextmanager
def served(path: Path) -> Iterator[Served]:
    """Serve Android's protocol at ``path``."""
    server = Served(path)
    try:
        yield server
    finally:
        server.end()


def kill_record(pid: int, **changed: Any) -> dict[str, Any]:
    """The record of a kill as the guard writes it, as far as the protocol needs it."""
    return {
        "event": "kill", "pid": pid, "name": "app", "priority": 900, "trigger": "headroom below its floor",
        "free_kib": 4096, "dry_run": False,
    } | changed  # fmt: skip


__all__ = ["EVENT", "VICTIM", "FakeHands", "Served", "kill_record", "served", "victim"]
