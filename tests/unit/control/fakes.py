"""Fakes for what stands behind and before the control socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lmkd.control.hands import Answer, LevelNotice, Peer, Process, Registered, Wish
from lmkd.control.native import NativeSession
from lmkd.errors import ControlError

ROOT = Peer(1, 77, 0, True, 1077)
USER = Peer(2, 88, 1000, False, 1088)


class FakeSource:
    """Hands without a daemon. Events are appended by the test; status can be told to fail; orders are noted."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.numbers: list[dict[str, Any]] = []
        self.files: dict[str, Any] = {"mounts": [], "files": []}
        self.state: dict[str, Any] = {"level": "calm"}
        self.text = "# EOF\n"
        self.trouble: Exception | None = None
        self.orders: list[tuple[Any, ...]] = []
        self.slots: dict[int, Registered] = {}
        self.answer = Answer()
        self.ended: set[int] = set()

    def status(self) -> Mapping[str, Any]:
        if self.trouble is not None:
            raise self.trouble
        return self.state

    def policy(self) -> Iterable[Mapping[str, Any]]:
        return iter(self.numbers)

    def tmpfs(self) -> Mapping[str, Any]:
        return self.files

    def metrics(self) -> str:
        return self.text

    def events_since(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        found = [event for event in self.events if event["seq"] >= sequence]
        return found, max([sequence, *(event["seq"] + 1 for event in found)])

    def candidates(self) -> Iterable[Mapping[str, Any]]:
        return iter(self.rows)

    def process(self, pid: int) -> Process:
        if pid >= 10_000 or pid in self.ended:
            raise ControlError(f"there is no process {pid}")
        return Process(pid, 1000 + pid, 1000, f"app{pid}")

    def registered(self, pid: int) -> Registered | None:
        return self.slots.get(pid)

    def records(self) -> Iterable[Registered]:
        return [found for found in self.slots.values() if found.record]

    def level(self) -> LevelNotice:
        return LevelNotice("low", "calm", 1.0, 4096, None, "headroom below 30% of RAM")

    def kill_count(self, low: int, high: int) -> int:
        return 0

    def register(self, peer: Peer, wish: Wish) -> int:
        name, trim, freeze = wish.name or "", wish.trim, wish.freeze
        self.slots[wish.pid] = Registered(
            wish.pid, 1000 + wish.pid, 1000, wish.priority, trim, freeze, 0, peer.pid, peer.privileged, name
        )
        return self._order("register", peer, wish)

    def remove(self, peer: Peer, pid: int) -> int:
        return self._order("remove", peer, pid)

    def purge(self, peer: Peer) -> int:
        return self._order("purge", peer)

    def trim(self, peer: Peer, pid: int, kib: int) -> int:
        return self._order("trim", peer, pid, kib)

    def kill(self, peer: Peer, pid: int) -> int:
        return self._order("kill", peer, pid)

    def reload(self, peer: Peer) -> int:
        return self._order("reload", peer)

    def refresh(self) -> int:
        return self._order("refresh")

    def _order(self, *order: Any) -> int:
        self.orders.append(order)
        return len(self.orders)


def serve_connection(connection: socket.socket, source: FakeSource, peer: Peer = ROOT) -> None:
    """Serve one connection to its end, as the talker does but one at a time; orders are answered at once."""
    session = NativeSession(peer, source)
    with connection, contextlib.suppress(OSError):
        while message := connection.recv(1 << 16):
            replies = session.feed(message)
            if session.waiting:
                replies += session.answered(len(source.orders), source.answer)
            for reply in replies:
                connection.send(reply)


@contextlib.contextmanager
def listening(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A socket at ``path`` whose first connection is given to ``serve``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield str(path)
        thread.join(10)
