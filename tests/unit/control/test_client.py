"""The client against a served socket, and against sockets that are absent or odd."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lmkd.control import protocol
from lmkd.control.client import ControlClient
from lmkd.errors import ControlError
from tests.unit.control.fakes import FakeSource, listening, serve_connection


def answering(*replies: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        for reply in replies:
            connection.send(reply)

    return serve


def test_the_client_gets_what_the_server_has(tmp_path: Path) -> None:
    source = FakeSource()
    source.rows = [{"pid": pid} for pid in range(100)]
    source.events = [{"seq": 0, "event": "ready"}, {"seq": 1, "event": "stop"}]
    source.numbers = [{"name": "trim"}]
    with (
        listening(tmp_path / "control", lambda connection: serve_connection(connection, source)) as path,
        ControlClient(path) as client,
    ):
        assert client.status() == {"level": "calm"}
        assert client.policy() == [{"name": "trim"}]
        assert [row["pid"] for row in client.candidates()] == list(range(100))
        assert [event["event"] for event in client.events()] == ["ready", "stop"]
        assert [event["event"] for event in client.events(since=1)] == ["stop"]
        following = client.events(follow=True)
        assert next(following)["event"] == "ready"


def test_an_absent_socket_says_that_lmkd_is_not_running(tmp_path: Path) -> None:
    with pytest.raises(ControlError) as error:
        ControlClient(str(tmp_path / "control"))
    assert str(error.value) == f"lmkd is not running here: no socket at {tmp_path}/control"


def test_a_socket_left_behind_says_that_nobody_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
        left.bind(str(tmp_path / "control"))
    with pytest.raises(ControlError, match="not running here: nobody listens at"):
        ControlClient(str(tmp_path / "control"))


def test_a_path_too_long_for_a_socket_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="cannot connect to"):
        ControlClient(str(tmp_path / ("x" * 200)))


def test_a_stream_socket_is_no_control_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(tmp_path / "control"))
        other.listen()
        with pytest.raises(ControlError, match="cannot connect"):
            ControlClient(str(tmp_path / "control"))


@pytest.mark.parametrize(
    ("replies", "complaint"),
    [
        ((protocol.encode_error("no such op"),), "lmkd refused: no such op"),
        ((b"hello",), "not JSON"),
        ((b'{"v":1,"ok":true}',), "answered without status"),
        ((b'{"v":1,"ok":true,"status":[]}',), "answered without status"),
        ((), "ended the connection"),
        ((b" " * 70_000,), "more than 65536 bytes"),
    ],
)
def test_an_odd_answer_is_a_clear_error(tmp_path: Path, replies: tuple[bytes, ...], complaint: str) -> None:
    with (
        listening(tmp_path / "control", answering(*replies)) as path,
        ControlClient(path) as client,
        pytest.raises(ControlError, match=complaint),
    ):
        client.status()


def test_a_candidate_that_is_no_object_is_a_clear_error(tmp_path: Path) -> None:
    reply = b'{"v":1,"ok":true,"candidates":[3]}'
    with (
        listening(tmp_path / "control", answering(reply)) as path,
        ControlClient(path) as client,
        pytest.raises(ControlError, match="not an object"),
    ):
        list(client.candidates())


def test_a_number_that_is_no_object_is_a_clear_error(tmp_path: Path) -> None:
    with (
        listening(tmp_path / "control", answering(b'{"v":1,"ok":true,"policy":[7]}')) as path,
        ControlClient(path) as client,
        pytest.raises(ControlError, match="a number that is not an object"),
    ):
        client.policy()


def test_an_answer_that_does_not_come_is_not_waited_for_without_end(tmp_path: Path) -> None:
    done = threading.Event()

    def say_nothing(_: socket.socket) -> None:
        done.wait(10)

    with listening(tmp_path / "control", say_nothing) as path:
        with ControlClient(path, timeout_ms=30) as client, pytest.raises(ControlError, match="within 30 ms"):
            client.status()
        done.set()
