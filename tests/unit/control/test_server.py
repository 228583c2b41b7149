"""One served connection, over a socket pair, with a source that has no daemon behind it."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkd.control.server import Limits, serve_connection
from lmkd.errors import KernelInterfaceError
from tests.unit.control.fakes import FakeSource


class Peer:
    """The test's end of the connection."""

    def __init__(self, connection: socket.socket, server: threading.Thread) -> None:
        connection.settimeout(10)
        self.socket = connection
        self.server = server

    def send(self, message: bytes) -> None:
        self.socket.send(message)

    def receive(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.socket.recv(1 << 17))
        return loaded

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        self.send(json.dumps({"v": 1, "op": op, **fields}).encode())
        return self.receive()

    def server_ends(self) -> bool:
        self.server.join(10)
        return not self.server.is_alive()


@contextlib.contextmanager
def served(source: FakeSource, limits: Limits | None = None) -> Iterator[Peer]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = threading.Thread(target=serve_connection, args=(theirs, source, limits), daemon=True)
    server.start()
    try:
        yield Peer(ours, server)
    finally:
        ours.close()
        server.join(10)
    assert not server.is_alive()
    assert theirs.fileno() == -1


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


def test_status_is_answered(source: FakeSource) -> None:
    with served(source) as peer:
        assert peer.ask("status") == {"v": 1, "ok": True, "status": {"level": "calm"}}


def test_the_policy_is_answered_in_one_message(source: FakeSource) -> None:
    source.numbers = [{"name": "ram_kib", "value": 1}, {"name": "trim", "value": True}]
    with served(source) as peer:
        assert peer.ask("policy") == {"v": 1, "ok": True, "policy": source.numbers}


def test_who_holds_memory_in_files_is_answered_in_one_message(source: FakeSource) -> None:
    with served(source) as peer:
        assert peer.ask("tmpfs") == {"v": 1, "ok": True, "tmpfs": source.files}


def test_the_connection_stays_usable_after_anything_wrong(source: FakeSource) -> None:
    wrong = (b"x", b'{"v":9,"op":"status"}', b'{"v":1,"op":"nonsense"}', b"[" * 4096, b"z" * 4097)
    with served(source) as peer:
        for message in (*wrong, b"y" * 60_000):
            peer.send(message)
            assert peer.receive()["ok"] is False
        assert peer.ask("status")["ok"] is True


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=6000), max_size=10))
def test_any_messages_are_answered_one_by_one_and_harm_nothing(messages: list[bytes]) -> None:
    with served(FakeSource()) as peer:
        for message in messages:
            peer.send(message)
            assert peer.receive()["ok"] is False
        assert peer.ask("status")["ok"] is True


def test_an_oversized_request_is_named_as_such(source: FakeSource) -> None:
    with served(source) as peer:
        peer.send(b'{"v":1,"op":"status"}' + b" " * 5000)
        assert "4096 bytes" in peer.receive()["error"]


@pytest.mark.parametrize("trouble", [KernelInterfaceError("/x: gone"), OSError(5, "I/O"), ValueError("odd")])
def test_trouble_of_the_source_is_told_to_the_peer(source: FakeSource, trouble: Exception) -> None:
    source.trouble = trouble
    with served(source) as peer:
        assert str(trouble) in peer.ask("status")["error"]
        source.trouble = None
        assert peer.ask("status")["ok"] is True


def test_events_come_from_the_asked_number_on_and_end(source: FakeSource) -> None:
    source.events = [{"seq": seq, "event": "kill"} for seq in range(5)]
    with served(source) as peer:
        assert peer.ask("events", since=3)["event"]["seq"] == 3
        assert peer.receive()["event"]["seq"] == 4
        assert peer.receive() == {"v": 1, "ok": True, "end": True}


def test_a_follower_gets_new_events_once_each(source: FakeSource) -> None:
    with served(source, Limits(poll_ms=5, idle_ms=50)) as peer:
        source.events.append({"seq": 0, "event": "ready"})
        assert peer.ask("events", follow=True)["event"]["event"] == "ready"
        time.sleep(0.1)
        source.events.append({"seq": 1, "event": "kill"})
        assert peer.receive()["event"]["event"] == "kill"
        source.events.append({"seq": 2, "event": "receipt"})
        assert peer.receive()["event"]["event"] == "receipt"


def test_a_follower_can_stop_with_another_request(source: FakeSource) -> None:
    with served(source, Limits(poll_ms=5)) as peer:
        peer.send(b'{"v":1,"op":"events","follow":true}')
        assert peer.ask("status") == {"v": 1, "ok": True, "end": True}
        assert peer.receive()["status"] == {"level": "calm"}


def test_a_follower_that_goes_ends_the_server(source: FakeSource) -> None:
    with served(source, Limits(poll_ms=5)) as peer:
        peer.send(b'{"v":1,"op":"events","follow":true}')
        time.sleep(0.05)
        peer.socket.close()
        assert peer.server_ends()


def test_candidates_come_in_order_in_chunks_of_64(source: FakeSource) -> None:
    source.rows = [{"pid": pid} for pid in range(150)]
    with served(source) as peer:
        replies = [peer.ask("candidates"), peer.receive(), peer.receive()]
        assert [len(reply["candidates"]) for reply in replies] == [64, 64, 22]
        assert [row["pid"] for reply in replies for row in reply["candidates"]] == list(range(150))
        assert peer.receive()["end"] is True


def test_no_candidates_is_an_end_alone(source: FakeSource) -> None:
    with served(source) as peer:
        assert peer.ask("candidates") == {"v": 1, "ok": True, "end": True}


def test_an_idle_peer_is_left(source: FakeSource) -> None:
    with served(source, Limits(idle_ms=30)) as peer:
        assert peer.server_ends()
        assert peer.socket.recv(10) == b""


def test_a_peer_that_does_not_read_is_left(source: FakeSource) -> None:
    source.events = [{"seq": seq, "event": "x" * 20_000} for seq in range(200)]
    with served(source, Limits(write_ms=50)) as peer:
        peer.send(b'{"v":1,"op":"events"}')
        assert peer.server_ends()


def test_a_peer_that_reads_slowly_gets_everything(source: FakeSource) -> None:
    source.events = [{"seq": seq, "event": "x" * 20_000} for seq in range(60)]
    with served(source, Limits(write_ms=2000)) as peer:
        peer.send(b'{"v":1,"op":"events"}')
        for seq in range(60):
            time.sleep(0.002)
            assert peer.receive()["event"]["seq"] == seq
        assert peer.receive()["end"] is True


def test_an_empty_message_ends_the_connection(source: FakeSource) -> None:
    with served(source) as peer:
        peer.send(b"")
        assert peer.server_ends()


def test_the_number_of_requests_is_bounded(source: FakeSource) -> None:
    with served(source, Limits(requests=2)) as peer:
        assert peer.ask("status")["ok"] and peer.ask("status")["ok"]
        assert "connect again" in peer.receive()["error"]
        assert peer.server_ends()


def test_descriptors_that_a_peer_passes_are_not_kept(source: FakeSource) -> None:
    reading, writing = os.pipe()
    with served(source) as peer:
        rights = array.array("i", [writing])
        peer.socket.sendmsg([b'{"v":1,"op":"status"}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        os.close(writing)
        assert peer.receive()["ok"] is True
        assert os.read(reading, 1) == b"", "the end of the pipe is open elsewhere"
    os.close(reading)
