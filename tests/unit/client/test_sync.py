"""The synchronous client against a real socket: requests, notices, an lmkd that is absent, odd, stuck or restarted."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.client import AboutToKill, Client, Event, Level, Link, NotAvailable, OddAnswer, Refused, Retry
from lmkd.client.codec import Notice
from tests.unit.client.fake_server import FakeLmkd


@pytest.fixture
def client(absent: FakeLmkd) -> Iterator[Client]:
    with Client(str(absent.path), 10_000, Retry(5, 20)) as made:
        yield made


def test_every_request_is_one_of_the_protocol_and_its_answer_is_read(server: FakeLmkd, client: Client) -> None:
    assert client.status() == {"level": "calm"}
    assert client.tmpfs() == {"level": "calm"}
    assert client.policy() == [{"name": "trim"}]
    assert [row["pid"] for row in client.candidates()] == [1, 2, 3]
    assert [record["event"] for record in client.events()] == ["ready", "kill"]
    assert [record["seq"] for record in client.events(since=1)] == [1]
    assert [record["seq"] for record in client.events(names=["kill"])] == [1]
    assert client.metrics().splitlines() == ["# TYPE lmkd_kills counter", "# EOF"]
    made = client.register(name="player", priority="background", group="media", trim=True, freeze=False)
    assert made is not None and (made.pid, made.priority, made.class_name) == (os.getpid(), 700, "background")
    client.unregister()
    assert client.set_priority(9, 950)[:4] == (9, "app", 950, 0)
    assert client.clear(9).priority is None
    client.trim()
    client.trim(9, 4096)
    client.kill(9)
    client.reload()
    assert client.subscribe(events=["kill"]) == "calm"
    client.unsubscribe()
    assert len(server.peers) == 1, "one connection for all of it"
    assert server.requests[8] == {
        "v": 1, "op": "register", "id": 9, "name": "player", "priority": "background", "group": "media", "trim": True,
        "freeze": False,
    }  # fmt: skip


def test_without_lmkd_a_request_says_so_and_a_wish_is_remembered(absent: FakeLmkd, client: Client) -> None:
    with pytest.raises(NotAvailable) as error:
        client.status()
    assert str(error.value) == f"lmkd is not running here: no socket at {absent.path}"
    assert client.register(priority="cached") is None
    assert client.subscribe() is None
    client.unregister(12)
    absent.start()
    assert client.status() == {"level": "calm"}
    assert absent.ops() == ["register", "subscribe", "status"]


def test_a_socket_that_nobody_listens_at_is_no_lmkd(absent: FakeLmkd, client: Client) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
        left.bind(str(absent.path))
    with pytest.raises(NotAvailable, match="nobody listens at"):
        client.status()


def test_a_path_too_long_for_a_socket_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(NotAvailable, match="cannot connect to"):
        Client(str(tmp_path / ("x" * 200))).status()


def test_a_full_queue_of_connections_is_waited_for_no_longer_than_the_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, Client(str(tmp_path / "c"), 30) as second:
        listener.bind(str(tmp_path / "c"))
        listener.listen(0)
        with Client(str(tmp_path / "c"), 30) as first:
            first.connect()
            with pytest.raises(NotAvailable, match="takes no connection within 30 ms"):
                second.connect()


def test_a_refusal_is_told_and_the_connection_stays(server: FakeLmkd, client: Client) -> None:
    server.refuse = {"kill": "no right to end 9", "register": "no such class"}
    with pytest.raises(Refused, match="lmkd refused: no right to end 9"):
        client.kill(9)
    with pytest.raises(Refused, match="no such class"):
        client.register()
    client.status()
    assert server.ops() == ["kill", "register", "status"] and len(server.peers) == 1


def test_an_answer_that_does_not_come_is_not_waited_for_without_end(server: FakeLmkd) -> None:
    server.silent = True
    with Client(str(server.path), 30) as client:
        with pytest.raises(NotAvailable, match="did not answer status within 30 ms"):
            client.status()
        server.silent = False
        client.status()


@pytest.mark.parametrize(
    ("instead", "complaint"),
    [
        (b"hello", "not JSON"),
        (b'{"v":1,"ok":true,"id":1}', "an answer without status"),
        (b'{"v":1,"ok":true,"id":1,"status":[]}', "an answer without status"),
        (b" " * 70_000, "more than 65536 bytes"),
    ],
)
def test_an_odd_answer_is_a_clear_error(server: FakeLmkd, client: Client, instead: bytes, complaint: str) -> None:
    server.instead = instead
    with pytest.raises(OddAnswer, match=complaint):
        client.status()


def test_being_one_too_many_is_not_available_and_says_why(absent: FakeLmkd, client: Client) -> None:
    absent.greeting = b'{"v":1,"ok":false,"error":"128 clients are served"}'
    absent.start()
    with pytest.raises(NotAvailable, match=r"128 clients are served|broke"):
        client.status()


def test_a_restart_between_two_requests_is_not_seen(server: FakeLmkd, client: Client) -> None:
    client.register(priority="cached")
    client.subscribe()
    server.stop()
    server.start()
    client.status()
    assert server.ops()[2:] == ["register", "subscribe", "status"]


def test_notices_come_in_order_also_between_requests(server: FakeLmkd, client: Client) -> None:
    assert client.subscribe(events=["kill"]) == "calm"
    server.level("low")
    server.event("kill", pid=7)
    server.event("trim", pid=7)
    client.status()
    server.level("critical", dropped=3)
    server.about_to_kill(os.getpid())
    assert client.next_notice() == Level("calm", "calm")
    assert client.next_notice(0) == Level("low", "calm", 8123, 850.5, 12.5, "headroom")
    assert client.next_notice() == Event("kill", {"event": "kill", "pid": 7})
    assert client.next_notice() == Level("critical", "low", 8123, 850.5, 12.5, "headroom", 3)
    assert client.next_notice() == AboutToKill(os.getpid(), "app", "SIGTERM", 200, "headroom")
    assert client.next_notice(0) is None and client.next_notice(5) is None
    assert client.fileno() >= 0


def test_a_notice_of_a_kind_to_come_is_passed_over(server: FakeLmkd, client: Client) -> None:
    client.subscribe(levels=False)
    server.raw(b'{"v":1,"weather":{"rain":true}}')
    server.raw(b'{"v":1,"event":{"event":"kill"}}')
    assert client.next_notice(5_000) == Event("kill", {"event": "kill"})


def test_a_lost_connection_ends_the_wait_for_a_notice(server: FakeLmkd, client: Client) -> None:
    client.subscribe()
    client.next_notice()
    server.stop()
    with pytest.raises(NotAvailable):
        client.next_notice()
    assert client.fileno() == -1


class Listening:
    """A client that listens in a thread, as an application without a loop of its own would."""

    def __init__(self, client: Client, run: Callable[[Callable[[Any], None]], None] | None = None) -> None:
        self.client = client
        self.heard: list[Notice] = []
        self.trouble: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Listening:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop()
        self._thread.join(10)
        assert not self._thread.is_alive() and not self.trouble

    def _run(self) -> None:
        try:
            self.client.listen(*[self.heard.append] * 4)
        except BaseException as error:
            self.trouble.append(error)

    def names(self) -> list[str]:
        return [notice.level if isinstance(notice, Level) else type(notice).__name__ for notice in list(self.heard)]


def test_a_listener_outlives_lmkd_and_is_told_what_changed_meanwhile(absent: FakeLmkd, client: Client) -> None:
    client.register(name="player", priority="background")
    with Listening(client) as listening:
        absent.wait(lambda: len(listening.heard) == 1)
        assert listening.heard[0] == Link(False, f"lmkd is not running here: no socket at {absent.path}")
        absent.start()
        absent.wait(lambda: len(listening.heard) == 3)
        absent.level("critical")
        absent.wait(lambda: len(listening.heard) == 4)
        absent.stop()
        absent.wait(lambda: len(listening.heard) == 5)
        absent.present = "low"
        absent.start()
        absent.wait(lambda: len(listening.heard) == 7)
        absent.about_to_kill(os.getpid())
        absent.wait(lambda: len(listening.heard) == 8)
    assert listening.names() == ["Link", "Link", "calm", "critical", "Link", "Link", "low", "AboutToKill"]
    assert listening.heard[6] == Level("low", "critical"), "what changed while nobody told"
    assert absent.ops() == ["register", "subscribe"] * 2


def test_what_is_refused_after_a_restart_is_told_and_does_not_end_the_listener(
    server: FakeLmkd, client: Client
) -> None:
    client.register(name="player")
    with Listening(client) as listening:
        server.wait(lambda: len(listening.heard) == 2)
        server.stop()
        server.refuse = {"register": "256 processes are registered"}
        server.start()
        server.wait(lambda: len(listening.heard) == 5)
    assert listening.heard[3] == Link(True, "lmkd refused: 256 processes are registered")


def test_nonsense_from_the_other_side_does_not_end_the_listener(server: FakeLmkd, client: Client) -> None:
    with Listening(client) as listening:
        server.wait(lambda: len(listening.heard) == 2)
        server.raw(b"\xff\x00 nonsense")
        server.wait(lambda: len(listening.heard) == 5)
    assert listening.names() == ["Link", "calm", "Link", "Link", "calm"]
    assert "not JSON" in str(listening.heard[2])


def test_an_lmkd_that_takes_nobody_is_not_asked_in_a_circle_of_notices(absent: FakeLmkd, client: Client) -> None:
    absent.greeting = b'{"v":1,"ok":false,"error":"128 clients are served"}'
    absent.start()
    with Listening(client) as listening:
        absent.wait(lambda: len(listening.heard) >= 1)
        threading.Event().wait(0.1)
    assert listening.names() == ["Link"]


def test_a_listener_that_waits_for_lmkd_can_be_stopped(absent: FakeLmkd) -> None:
    with Listening(Client(str(absent.path), retry=Retry(60_000, 60_000))) as listening:
        absent.wait(lambda: len(listening.heard) == 1)


def test_records_are_followed_on_a_connection_of_their_own_until_stopped(server: FakeLmkd, client: Client) -> None:
    following = client.follow(names=["kill"])
    assert next(following) == {"event": "kill", "seq": 1, "pid": 7}
    client.status()
    stopper = threading.Timer(0.05, client.stop)
    stopper.start()
    assert list(following) == []
    stopper.join()


def test_following_ends_with_an_error_when_lmkd_does(server: FakeLmkd, client: Client) -> None:
    following = client.follow()
    next(following)
    server.stop()
    with pytest.raises(NotAvailable):
        list(following)


def test_the_requests_are_those_of_lmkds_own_schema(server: FakeLmkd, client: Client) -> None:
    schema = pytest.importorskip("lmkd.control.schema", reason="NOT TESTED HERE: lmkd has no schema of requests yet")
    test_every_request_is_one_of_the_protocol_and_its_answer_is_read(server, client)
    for request in server.requests:
        fields = {key: item for key, item in request.items() if key not in ("v", "op", "id")}
        schema.validate(request["op"], fields)
    assert {op.name for op in schema.OPS} == set(server.ops()), "an op that the client does not have"
