"""A fake lmkd that answers and takes orders over a real SEQPACKET socket, as the protocol says."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Request = dict[str, Any]


class FakeDaemon:
    """``state`` is its status, ``rows`` its candidates, ``events`` its records, ``orders`` what it was told.

    ``outcome`` has the records that an order leads to.

    A refusal is the error text that ``refuse`` gives for an operation.
    """

    def __init__(
        self, rows: list[dict[str, Any]], events: list[dict[str, Any]] | None = None, state: Any = None
    ) -> None:
        self.rows = rows
        self.events = events if events is not None else []
        self.state = dict(state or {})
        self.orders: list[Request] = []
        self.refuse: dict[str, str] = {}
        self.outcome: Callable[[Request], list[dict[str, Any]]] = lambda request: []
        self.metrics = ["# EOF\n"]
        self._open: list[socket.socket] = []

    def serve(self, connection: socket.socket) -> None:
        """Answer until the peer is gone."""
        self._open.append(connection)
        with connection, contextlib.suppress(OSError):
            self._serve(connection)

    def end_all(self) -> None:
        """End every connection, as lmkd does after a reload."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        while message := connection.recv(4096):
            request = json.loads(message)
            assert request.pop("v") == 1
            for reply in self._replies(request):
                connection.send(json.dumps({"v": 1, "ok": "error" not in reply, **reply}).encode())

    def _replies(self, request: Request) -> list[dict[str, Any]]:
        op = request["op"]
        if op == "status":
            return [{"status": self.state}]
        if op == "candidates":
            return [{"candidates": self.rows}, {"end": True}]
        if op == "events":
            fresh = [{"event": event} for event in self.events if event["seq"] >= request["since"]]
            return [*fresh, {"end": True}]
        self.orders.append(request)
        if op in self.refuse:
            return [{"error": self.refuse[op]}]
        for event in self.outcome(request):
            self.events.append({"seq": len(self.events) + 1, "level": "info", **event})
        return self._done(op, request)

    def _done(self, op: str, request: Request) -> list[dict[str, Any]]:
        row = next((row for row in self.rows if row["pid"] == request.get("pid")), {})
        who = {"pid": row.get("pid"), "name": row.get("name")}
        if op == "metrics":
            return [*({"metrics": part} for part in self.metrics), {"end": True}]
        replies: dict[str, list[dict[str, Any]]] = {
            "set": [{"set": {**who, "priority": request.get("priority"), "previous": row.get("priority")}}],
            "clear": [{"cleared": who}],
            "kill": [{"kill": {**who, "accepted": True}}],
            "trim": [{"trim": {"asked": True}}],
            "reload": [{"reload": {"asked": True}}],
        }
        return replies[op]


@contextlib.contextmanager
def listening(path: Path, daemon: FakeDaemon) -> Iterator[str]:
    """The fake at a socket; what is left there by an earlier one is replaced."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0.05)
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    threading.Thread(target=daemon.serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield str(path)
        finally:
            ended.set()
            thread.join(10)
            daemon.end_all()
