"""A strict lmkd to test clients against: real SEQPACKET sockets, requests checked field by field, notices on demand."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CLASSES = {"protected": -1000, "foreground": 0, "visible": 100, "service": 500, "background": 700, "cached": 900}
Check = Callable[[Any], bool]


def whole(low: int, high: int) -> Check:
    return lambda given: type(given) is int and low <= given <= high


def text(size_max: int) -> Check:
    return lambda given: isinstance(given, str) and given.isprintable() and len(given.encode()) <= size_max


def flag(given: Any) -> bool:
    return type(given) is bool


def names(given: Any) -> bool:
    return isinstance(given, list) and len(given) <= 32 and all(each and text(64)(each) for each in given)


def priority(given: Any) -> bool:
    return given in CLASSES if isinstance(given, str) else whole(-1000, 1000)(given)


PID = whole(1, 2**22)
# Per op the fields it may have and those it must have.
SCHEMA: dict[str, tuple[dict[str, Check], set[str]]] = {
    "status": ({}, set()),
    "candidates": ({}, set()),
    "policy": ({}, set()),
    "tmpfs": ({}, set()),
    "events": ({"since": whole(0, 2**63 - 1), "follow": flag, "names": names}, set()),
    "subscribe": ({"levels": flag, "events": names, "text": flag}, set()),
    "unsubscribe": ({}, set()),
    "register": (
        {"pid": PID, "name": text(32), "priority": priority, "group": text(64), "trim": flag, "freeze": flag},
        set(),
    ),
    "unregister": ({"pid": PID}, set()),
    "set": ({"pid": PID, "priority": priority}, {"pid", "priority"}),
    "clear": ({"pid": PID}, {"pid"}),
    "trim": ({"pid": PID, "kib": whole(0, 2**31 - 1)}, set()),
    "kill": ({"pid": PID}, {"pid"}),
    "reload": ({}, set()),
    "metrics": ({}, set()),
}


class Peer:
    """One connected client and what it has asked to be told."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid = struct.unpack("3i", credentials)[0]
        self.subscription: dict[str, Any] | None = None
        self.registered: set[int] = set()
        self.follows: int | str | None = None

    def send(self, **fields: Any) -> None:
        self.connection.send(json.dumps({"v": 1, **fields}, separators=(",", ":")).encode())


class FakeLmkd:
    """Serves at ``path`` in a thread from ``start`` to ``stop``; ``faults``: what clients did wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.present = "calm"
        self.silent = False
        self.rises = ""  # to which level, right after the answer to a subscription
        self.refuse: dict[str, str] = {}  # op: why
        self.greeting: bytes = b""  # said to each client that connects, which is then left
        self.instead: bytes = b""  # said in place of any answer
        self.rows: list[list[dict[str, Any]]] = [[{"pid": 1}, {"pid": 2}], [{"pid": 3}]]  # of candidates, by message
        self.requests: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.records = [{"event": "ready", "seq": 0}, {"event": "kill", "seq": 1, "pid": 7}]
        self.peers: dict[int, Peer] = {}
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    def start(self) -> FakeLmkd:
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Be gone as a killed lmkd is: connections closed, the socket's name left behind."""
        if self._thread is None:
            return
        os.write(self._woken, b"x")
        self._thread.join(10)
        self._thread = None
        for peer in self.peers.values():
            peer.connection.close()
        self.peers.clear()
        self._listener.close()
        os.close(self._wake)
        os.close(self._woken)

    def ops(self) -> list[str]:
        return [request["op"] for request in list(self.requests)]

    def wait(self, met: Callable[[], bool], what: str = "what was waited for") -> None:
        deadline_s = time.monotonic() + 10
        while not met():
            assert time.monotonic() < deadline_s, f"not within 10 s: {what}; {self.requests}; {self.faults}"
            time.sleep(0.002)

    def subscribers(self) -> list[Peer]:
        with self._lock:
            return [peer for peer in self.peers.values() if peer.subscription is not None]

    # What lmkd says unasked.

    def level(self, level: str, dropped: int = 0, **more: Any) -> None:
        previous, self.present = self.present, level
        fields = {"level": level, "previous": previous, "t_ms": 12.5, "headroom_kib": 8123, "exhaustion_ms": 850.5}
        fields.update(reason="headroom", **more)
        line = f"level={level} previous={previous} headroom_kib=8123 exhaustion_ms=850 dropped={dropped}"
        for peer in self.subscribers():
            if peer.subscription and peer.subscription["levels"]:
                self._tell(peer, {"level": fields}, line, dropped)

    def event(self, name: str, /, **fields: Any) -> None:
        line = " ".join([f"event={name}", *(f"{key}={item}" for key, item in fields.items()), "dropped=0"])
        for peer in self.subscribers():
            if peer.subscription and {name, "*"} & set(peer.subscription["events"]):
                self._tell(peer, {"event": {"event": name, **fields}}, line, 0)

    def about_to_kill(self, pid: int, grace_ms: int = 200) -> None:
        fields = {"pid": pid, "name": "app", "signal": "SIGTERM", "grace_ms": grace_ms, "reason": "headroom"}
        line = f"about_to_kill pid={pid} name=app signal=SIGTERM grace_ms={grace_ms} dropped=0"
        with self._lock:
            victims = [peer for peer in self.peers.values() if pid in {peer.pid, *peer.registered}]
        for peer in victims:
            self._tell(peer, {"about_to_kill": fields}, line, 0)

    def raw(self, message: bytes) -> None:
        for peer in self.subscribers():
            peer.connection.send(message)

    def _tell(self, peer: Peer, fields: dict[str, Any], line: str, dropped: int) -> None:
        with contextlib.suppress(OSError):
            if peer.subscription and peer.subscription["text"]:
                peer.connection.send(line.encode())
            else:
                peer.send(**fields, **({"dropped": dropped} if dropped else {}))

    # What it answers.

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj == self._wake:
                        return
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    else:
                        self._receive(selector, key.data)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        connection, _ = self._listener.accept()
        if self.greeting:
            with connection, contextlib.suppress(OSError):
                connection.send(self.greeting)
            return
        with self._lock:
            self.peers[connection.fileno()] = Peer(connection)
        selector.register(connection, selectors.EVENT_READ, self.peers[connection.fileno()])

    def _receive(self, selector: selectors.BaseSelector, peer: Peer) -> None:
        try:
            message = peer.connection.recv(65536)
        except ConnectionError:
            message = b""
        if not message:
            selector.unregister(peer.connection)
            with self._lock:
                del self.peers[peer.connection.fileno()]
            peer.connection.close()
            return
        request = self.check(message)
        if request is not None and not self.silent:
            # Under the lock: whoever has the answer to a subscription is among the subscribers.
            with contextlib.suppress(OSError), self._lock:
                self._answer(peer, request)

    def check(self, message: bytes) -> dict[str, Any] | None:
        """The request, if it is one by the schema; otherwise a fault."""
        try:
            request = json.loads(message.decode("utf-8"))
            fields = dict(request)
            assert len(message) <= 4096, "too long"
            assert fields.pop("v") == 1, "no version 1"
            number = fields.pop("id", None)
            assert number is None or type(number) is int or text(64)(number), "a bad id"
            allowed, needed = SCHEMA[fields.pop("op")]
            assert set(fields) <= set(allowed), "a field that is not of it"
            assert needed <= set(fields), "a field is missing"
            assert all(allowed[key](item) for key, item in fields.items()), "a field's value"
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            self.faults.append(f"{message!r}: {error}")
            return None
        with self._lock:
            self.requests.append(request)
        return dict(request)

    def _answer(self, peer: Peer, request: dict[str, Any]) -> None:
        op = request["op"]
        known = {"ok": True, **({"id": request["id"]} if "id" in request else {})}
        if self.instead:
            peer.connection.send(self.instead)
            return
        if op in self.refuse:
            peer.send(**{**known, "ok": False}, error=self.refuse[op])
            return
        for fields in self._answers(peer, op, request):
            peer.send(**known, **fields)
        if op == "subscribe":
            peer.subscription = {"levels": True, "events": [], "text": False, **request}
            if self.rises:
                self.level(self.rises)

    def _answers(self, peer: Peer, op: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        pid = request.get("pid", peer.pid)
        if op in ("status", "tmpfs"):
            yield {op: {"level": self.present}}
        elif op == "policy":
            yield {"policy": [{"name": "trim"}]}
        elif op == "candidates":
            yield from ({"candidates": rows} for rows in self.rows)
            yield {"end": True}
        elif op == "events":
            wanted = request.get("names")
            for record in self.records[request.get("since", 0) :]:
                if wanted is None or record["event"] in wanted:
                    yield {"event": record}
            if not request.get("follow"):
                yield {"end": True}
        elif op == "metrics":
            yield {"metrics": "# TYPE lmkd_kills counter\n"}
            yield {"metrics": "# EOF\n"}
            yield {"end": True}
        else:
            yield self._changed(peer, op, pid, request)

    def _changed(self, peer: Peer, op: str, pid: int, request: dict[str, Any]) -> dict[str, Any]:
        given = request.get("priority", 700)
        number: int = CLASSES[given] if isinstance(given, str) else given
        if op == "register":
            peer.registered.add(pid)
            class_name = next((name for name, floor in reversed(CLASSES.items()) if number >= floor), "protected")
            return {"registered": {"pid": pid, "priority": number, "class": class_name}}
        if op == "unregister":
            peer.registered.discard(pid)
            return {"unregistered": {"pid": pid}}
        if op == "unsubscribe":
            peer.subscription = None
            return {"unsubscribed": True}
        answers: dict[str, dict[str, Any]] = {
            "subscribe": {"subscribed": {"level": self.present}},
            "set": {"set": {"pid": pid, "name": "app", "priority": number, "previous": 0}},
            "clear": {"cleared": {"pid": pid, "name": "app", "priority": None, "previous": number}},
            "kill": {"kill": {"pid": pid, "name": "app", "accepted": True}},
        }
        return answers.get(op, {op: {"asked": True}})
