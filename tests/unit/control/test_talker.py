"""The talker over real sockets: today's requests, limits, and that nobody holds up anybody."""

from __future__ import annotations

import array
import json
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.control import protocol
from lmkd.control.connection import Limits
from lmkd.control.hands import Peer
from lmkd.control.subscribers import AT_ONCE, MORE
from lmkd.control.talker import Talker
from lmkd.guard.record import Recorder
from lmkd.helper.orders import ANSWER, LOOK
from lmkd.kernel import clock
from lmkd.model import Kill, Note, Victim
from lmkd.policy.step import State
from tests.unit.control.talking import Client, Talking


@pytest.fixture
def talking(tmp_path: Path) -> Iterator[Talking]:
    made = Talking(tmp_path, proc="/proc")
    yield made
    made.close()


def level(talking: Talking, now: str, before: str = "calm") -> None:
    talking.exchange.notices.tell_level(before, State(level=now), 5.0, "because")


def test_what_reads_is_answered(talking: Talking) -> None:
    client = talking.client()
    assert client.ask("status", id=7)["status"]["level"] == "calm"
    assert {row["name"] for row in client.ask("policy")["policy"]} > {"ram_kib"}
    first = client.ask("candidates", id="x")
    assert ([row["pid"] for row in first["candidates"]], first["id"]) == ([10, 11], "x")
    assert client.receive() == {"v": 1, "ok": True, "end": True, "id": "x"}
    assert [order[1] for order in talking.orders] == [LOOK]
    assert "mounts" in client.ask("tmpfs")["tmpfs"]


def test_the_connection_stays_usable_after_anything_wrong(talking: Talking) -> None:
    client = talking.client()
    wrong = (b"x", b'{"v":9,"op":"status"}', b'{"v":1,"op":"nonsense"}', b"[" * 4096, b"z" * 4097, b"y" * 60_000)
    for message in wrong:
        client.send(message)
        assert client.receive()["ok"] is False
    assert client.ask("status")["ok"] is True


def test_an_oversized_request_is_named_as_such(talking: Talking) -> None:
    client = talking.client()
    client.send(b'{"v":1,"op":"status"}' + b" " * 5000)
    assert "4096 bytes" in client.receive()["error"]


def test_an_absent_status_is_told(talking: Talking) -> None:
    talking.exchange.write_status(b"")
    assert "not written a status yet" in talking.client().ask("status")["error"]


def test_events_come_from_the_asked_number_on_and_end(talking: Talking) -> None:
    recorder = Recorder(talking.exchange)
    for number in range(5):
        recorder.write(Note("kill" if number % 2 else "ready", ()), 1.0)
    client = talking.client()
    assert client.ask("events", since=4)["event"]["seq"] == 4
    assert client.receive()["event"]["seq"] == 5
    assert client.receive()["end"] is True
    assert client.ask("events", names=["kill"])["event"]["seq"] == 2
    assert client.receive()["event"]["seq"] == 4
    assert client.receive()["end"] is True


def test_a_follower_gets_new_events_once_each_until_it_asks_something_else(talking: Talking) -> None:
    recorder = Recorder(talking.exchange)
    recorder.write(Note("ready", ()), 1.0)
    client, other = talking.client(), talking.client()
    assert client.ask("events", follow=True, id=1)["event"]["event"] == "ready"
    assert client.silent()
    for name in ("kill", "receipt"):
        recorder.write(Note(name, ()), 2.0)
        told = client.receive()
        assert (told["event"]["event"], told["event"]["seq"], told["id"]) == (name, recorder.sequence, 1)
    assert other.ask("events", follow=True, since=3)["event"]["seq"] == 3
    assert client.silent() and other.silent()
    assert client.ask("status", id=2) == {"v": 1, "ok": True, "end": True, "id": 1}
    assert client.receive()["id"] == 2


def test_a_subscriber_is_told_levels_and_the_records_it_asked_for(talking: Talking) -> None:
    recorder = Recorder(talking.exchange)
    recorder.write(Note("kill", ()), 1.0)
    client = talking.client()
    subscribed = client.ask("subscribe", events=["kill"], id=3)
    assert subscribed == {"v": 1, "ok": True, "subscribed": {"level": "calm"}, "id": 3}
    level(talking, "moderate")
    told = client.receive()
    assert told["level"] == {
        "level": "moderate", "previous": "calm", "t_ms": 5.0, "headroom_kib": 0, "exhaustion_ms": None,
        "reason": "because",
    }  # fmt: skip
    recorder.write(Note("receipt", ()), 2.0)
    recorder.write(Note("kill", (("pid", 12),)), 2.0)
    assert client.receive()["event"]["pid"] == 12
    assert client.silent()
    assert client.ask("unsubscribe")["unsubscribed"] is True
    level(talking, "calm", "moderate")
    assert client.silent()


def test_each_of_many_subscribers_is_told_in_its_own_words(talking: Talking) -> None:
    clients = [talking.client() for _ in range(4)]
    for client, text in zip(clients, (False, True, False, True), strict=True):
        client.ask("subscribe", text=text)
    for now, before in (("low", "calm"), ("moderate", "low")):
        level(talking, now, before)
        told = [client.raw() for client in clients]
        assert told[0] == told[2] and told[1] == told[3]
        assert json.loads(told[0])["level"]["level"] == now
        assert told[1].startswith(f"level={now} previous={before}".encode())


def test_all_of_many_are_told_of_a_level_though_not_at_once(talking: Talking) -> None:
    clients = [talking.client() for _ in range(AT_ONCE + 3 * MORE)]
    for client in clients:
        client.ask("subscribe")
    level(talking, "low")
    talking.turn(0)
    assert talking.talker._subscribers.rest_ms(clock.now_ms()) is not None
    assert {client.receive()["level"]["level"] for client in clients} == {"low"}
    assert talking.talker._subscribers.rest_ms(clock.now_ms()) is None


def test_it_is_seen_whether_one_has_read_what_he_was_told(talking: Talking) -> None:
    client = talking.client()
    client.ask("subscribe")
    (connection,) = talking.talker.connections.values()
    assert not connection.has_unread()
    level(talking, "low")
    talking.turn(0)
    assert connection.has_unread()
    client.raw()
    assert not connection.has_unread()


def test_those_that_wait_for_their_turn_are_told_before_it_ends(talking: Talking) -> None:
    clients = [talking.client() for _ in range(AT_ONCE + 3 * MORE)]
    for client in clients:
        client.ask("subscribe")
    level(talking, "low")
    talking.turn(0)
    talking.helper.close()
    assert not talking.talker.turn(0)
    assert all(client.raw() for client in clients)


def test_notices_can_be_lines_of_text(talking: Talking) -> None:
    client = talking.client()
    client.ask("subscribe", events=["*"], text=True)
    level(talking, "low")
    assert client.raw() == b"level=low previous=calm headroom_kib=0 exhaustion_ms=none dropped=0"
    Recorder(talking.exchange).write(Note("kill", (("pid", 12), ("name", "a b"))), 2.0)
    assert client.raw() == b'event=kill seq=1 pid=12 name="a b" dropped=0'


def test_a_change_of_level_wakes_the_talker(tmp_path: Path) -> None:
    talking = Talking(tmp_path, proc="/proc")
    client = talking.client()
    client.ask("subscribe")
    level(talking, "low")
    began = time.monotonic()
    assert talking.turn(5000) and time.monotonic() - began < 2
    assert client.raw(0 + 1)
    talking.close()


class Standing:
    """Keeps what the clients have been sent when it is told to work."""

    def __init__(self, *clients: Client) -> None:
        self._clients = clients
        self.said: list[Any] = []

    def set(self, relied: bool) -> None:
        pass

    def wait(self) -> None:
        self.said.append("wait")

    def work(self) -> None:
        self.said.append([bool(client.waiting()) for client in self._clients])


def test_levels_are_told_ahead_of_everybody_else_and_requests_are_not(talking: Talking) -> None:
    reads, asks = talking.client(), talking.client()
    reads.ask("subscribe")
    asks.ask("status")
    standing = talking.talker._standing = Standing(reads, asks)  # type: ignore[assignment]
    asks.send(b'{"v":1,"op":"status"}')
    level(talking, "low")
    talking.turn()
    assert standing.said == ["wait", [True, False]]
    assert asks.receive()["status"]


def test_a_level_waits_for_one_answer_at_most(talking: Talking) -> None:
    reads, first, second = (talking.client() for _ in range(3))
    reads.ask("subscribe")
    told: list[bool] = []

    def status() -> dict[str, Any]:
        told.append(bool(reads.waiting()))
        level(talking, "low")
        return {}

    for client in (first, second):
        client.ask("status")
    for client in (first, second):
        client.send(b'{"v":1,"op":"status"}')
    talking.talker.hands._source.status = status  # type: ignore[method-assign]
    talking.turn()
    assert told == [False, True]


def test_a_victim_is_told_before_the_level(talking: Talking) -> None:
    client = talking.client()
    client.ask("subscribe")
    level(talking, "critical")
    mine = Victim(os.getpid(), 0, "app", 900, -1, 4096)
    session = next(iter(talking.talker.connections.values())).session
    session._peer = Peer(0, os.getpid(), 0, True)  # type: ignore[attr-defined]
    talking.exchange.notices.tell_kill(Kill((mine,), "SIGKILL", "why", ()), (mine,), State(), 7.0)
    assert client.receive()["about_to_kill"]["pid"] == os.getpid()
    assert client.receive()["level"]["level"] == "critical"


def test_those_that_do_not_read_cost_no_encoding_of_their_own(
    talking: Talking, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [talking.client() for _ in range(20)]
    for client in clients:
        client.ask("subscribe")
    names = ("low", "calm")
    for number in range(300):
        level(talking, names[number % 2])
        talking.turn(0)
    assert all(one.dropped > 0 for one in talking.talker.connections.values())
    encoded: list[object] = []
    encode = protocol.encode_reply

    def counted(*given: Any, **named: Any) -> bytes:
        encoded.append(named)
        return encode(*given, **named)

    monkeypatch.setattr(protocol, "encode_reply", counted)
    for number in range(10):
        level(talking, names[number % 2])
        talking.turn(0)
    assert len(encoded) == 10


def test_one_that_does_not_read_loses_notices_and_is_told_how_many_and_the_last_level(talking: Talking) -> None:
    stuck, reads = talking.client(), talking.client()
    stuck.ask("subscribe")
    reads.ask("subscribe")
    names = ("low", "calm")
    for number in range(400):
        level(talking, names[number % 2])
        assert reads.receive()["level"]["level"] == names[number % 2]
    level(talking, "critical")
    talking.turns(5)
    connection = next(iter(talking.talker.connections.values()))
    assert connection.dropped > 300 and connection._notices <= talking.talker.limits.notices
    told: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    while last.get("level", {}).get("level") != "critical":
        last = stuck.receive()
        told.append(last)
    assert len(told) + sum(one.get("dropped", 0) for one in told) >= 401
    assert last["dropped"] > 300


def test_the_status_tells_of_clients_and_no_count_falls_when_a_talker_ends(talking: Talking) -> None:
    stuck, asks = talking.client(), talking.client()
    stuck.ask("subscribe")
    assert asks.ask("status")["status"]["clients"] == {"connected": 2, "registered": 0, "dropped": 0}
    for number in range(400):
        level(talking, ("low", "calm")[number % 2])
        talking.turns(1)
    dropped = asks.ask("status")["status"]["clients"]["dropped"]
    assert dropped == next(iter(talking.talker.connections.values())).dropped > 300
    following = Talker(talking.plan, talking.exchange, {}, talking._theirs)
    assert following.hands.status()["clients"] == {"connected": 0, "registered": 0, "dropped": dropped}
    text = following.hands.metrics()
    assert f"lmkd_clients_dropped_messages_total {dropped}\n" in text and "lmkd_registered_processes 0\n" in text


def test_a_reply_that_is_not_read_ends_the_connection_and_no_other(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(write_ms=50), proc="/proc")
    recorder = Recorder(talking.exchange)
    for _ in range(15):
        recorder.write(Note("x", (("text", "x" * 3900),)), 1.0)
    stuck, other = talking.client(), talking.client()
    stuck.send(b'{"v":1,"op":"events"}')
    talking.turns(5)
    assert len(talking.talker.connections) == 2
    time.sleep(0.1)
    assert other.ask("status")["ok"] is True
    talking.turns(3)
    assert len(talking.talker.connections) == 1
    talking.close()


def test_a_slow_reader_gets_everything(talking: Talking) -> None:
    recorder = Recorder(talking.exchange)
    for _ in range(15):
        recorder.write(Note("x", (("text", "x" * 3900),)), 1.0)
    client = talking.client()
    client.send(b'{"v":1,"op":"events"}')
    for number in range(15):
        assert client.receive()["event"]["seq"] == number + 1
    assert client.receive()["end"] is True


def test_a_candidates_reply_of_any_size_fits(talking: Talking) -> None:
    from tests.unit.plans import make_candidate

    # Numbers that no process of this machine has: the asker itself is left out.
    talking.exchange.publish([make_candidate(pid, name="x" * 16) for pid in range(5_000_001, 5_001_000)], 1.0)
    client = talking.client()
    found = len(client.ask("candidates")["candidates"])
    while "end" not in (reply := client.receive()):
        found += len(reply["candidates"])
    assert found == 999


def test_over_the_bound_a_client_is_turned_away_until_one_has_gone(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(clients=3), proc="/proc")
    clients = [talking.client() for _ in range(3)]
    assert all(client.ask("status")["ok"] for client in clients)
    assert talking.client().ended()
    clients[0].socket.close()
    talking.turns(3)
    assert talking.client().ask("status")["ok"] is True
    talking.close()


def test_many_who_connect_at_once_do_not_keep_the_last_one_waiting(talking: Talking) -> None:
    clients = [talking.client() for _ in range(100)]
    clients[-1].send(b'{"v":1,"op":"status"}')
    talking.turns(5)
    clients[-1].socket.setblocking(False)
    assert b'"ok":true' in clients[-1].socket.recv(1 << 17)


def test_the_idle_are_left_but_not_those_that_subscribed(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(idle_ms=30), proc="/proc")
    idle, keeps = talking.client(), talking.client()
    keeps.ask("subscribe")
    idle.ask("status")
    time.sleep(0.05)
    assert idle.ended()
    assert keeps.silent()
    talking.close()


def test_it_ends_some_time_after_its_last_client_has_gone(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(linger_ms=60), proc="/proc")
    client = talking.client()
    client.ask("status")
    time.sleep(0.1)
    assert talking.turn(0)
    client.socket.close()
    assert talking.turn(0)
    time.sleep(0.1)
    assert not talking.turn(0)
    talking.close()


def test_it_ends_when_the_helper_has_gone(talking: Talking) -> None:
    talking.client().ask("status")
    talking.helper.close()
    assert not talking.talker.turn(0)


def test_an_order_without_an_answer_is_told(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(order_ms=30), proc="/proc")
    talking.answer = lambda order: None
    client = talking.client()
    assert "did not answer within 30 ms" in client.ask("reload", id=4)["error"]
    late = ANSWER.pack(talking.orders[0][0], 0, 0, 0, -1)
    talking.helper.send(late)
    talking.helper.send(b"not an answer")
    assert client.silent()
    assert client.ask("status")["ok"] is True
    talking.close()


def test_a_request_waits_for_the_answer_to_the_one_before(talking: Talking) -> None:
    talking.answer = lambda order: None
    client = talking.client()
    client.send(b'{"v":1,"op":"reload","id":1}')
    client.send(b'{"v":1,"op":"status","id":2}')
    assert client.silent()
    talking.helper.send(ANSWER.pack(talking.orders[0][0], 0, 0, 0, -1))
    assert [client.receive()["id"], client.receive()["id"]] == [1, 2]


def test_who_asks_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(burst=5, per_s=20), proc="/proc")
    greedy, other = talking.client(), talking.client()
    talking.turns(2)
    talking.distrust()
    began = time.monotonic()
    for _ in range(10):
        assert greedy.ask("events")["end"] is True
    assert time.monotonic() - began > 0.15
    assert other.ask("events")["end"] is True
    talking.close()


def test_what_takes_long_counts_for_more(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(burst=5, per_s=100, per_ms=2), proc="/proc")

    def slowly() -> list[dict[str, Any]]:
        time.sleep(0.02)
        return []

    talking.talker.hands._source.policy = slowly  # type: ignore[method-assign]
    greedy, other = talking.client(), talking.client()
    talking.turns(2)
    talking.distrust()
    began = time.monotonic()
    for _ in range(3):
        assert greedy.ask("policy")["ok"] is True
    assert time.monotonic() - began > 0.1
    assert other.ask("events")["end"] is True
    talking.close()


def test_an_empty_message_ends_the_connection(talking: Talking) -> None:
    client = talking.client()
    client.send(b"")
    assert client.ended()


def test_descriptors_that_a_peer_passes_are_not_kept(talking: Talking) -> None:
    reading, writing = os.pipe()
    client = talking.client()
    rights = array.array("i", [writing])
    client.socket.sendmsg([b'{"v":1,"op":"status"}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    os.close(writing)
    assert client.receive()["ok"] is True
    assert os.read(reading, 1) == b"", "the end of the pipe is open elsewhere"
    os.close(reading)


def test_all_requests_are_json_whatever_the_names_of_processes_are(talking: Talking) -> None:
    from tests.unit.plans import make_candidate

    talking.exchange.publish([make_candidate(10, name='"\\\udcff\x01')], 1.0)
    client = talking.client()
    client.send(b'{"v":1,"op":"candidates"}')
    assert json.loads(client.raw())["candidates"]


def test_who_goes_while_he_is_told_and_then_has_his_turn_ends_nobody_else(tmp_path: Path) -> None:
    """The talker died of it: a record was told to a connection that was gone, and then it was read from."""
    talking = Talking(tmp_path, proc="/proc")
    talking.client()
    other = talking.client()
    talking.turns(2)
    one = next(iter(talking.talker.connections.values()))
    talking.talker._drop(one)
    talking.talker._serve(one, select.POLLIN, 0.0)
    assert one not in talking.talker.connections.values() and len(talking.talker.connections) == 1
    assert other.ask("status")
    talking.close()
