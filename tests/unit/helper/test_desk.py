"""The control socket: a real one, served by a real talker from a real exchange."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.control.client import ControlClient
from lmkd.errors import ControlError
from lmkd.guard.exchange import Exchange
from lmkd.guard.record import Recorder
from lmkd.helper.desk import Desk
from lmkd.helper.orders import ANSWER, DONE, LOOK, ORDER
from lmkd.helper.source import ExchangeSource
from lmkd.model import FLAG_FREEZE, FLAG_TRIM, Note
from lmkd.plan import Plan
from lmkd.values import as_dict, field_names
from tests.unit.guard.test_exchange import close
from tests.unit.plans import make_candidate, make_plan, make_rule


class Bench:
    """A desk at a socket below a temporary folder, turned by a thread as the helper does; every order is done."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.exchange = Exchange()
        self.excluded: list[int] = []
        self.orders: list[int] = []
        self.poll = select.poll()
        self.desk = Desk(plan, self.exchange, self.poll, self.excluded.append)
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._running:
            self.desk.turn(dict(self.poll.poll(10)), self.carry_out)

    def carry_out(self, order: bytes) -> bytes:
        number, operation, *_ = ORDER.unpack(order)
        self.orders.append(operation)
        return ANSWER.pack(number, DONE, 0, 0, -1)

    def client(self) -> ControlClient:
        return ControlClient(self.plan.socket, 10_000)

    def until(self, found: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not found() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert found()

    def close(self) -> None:
        self._running = False
        self._thread.join(10)
        self.desk.close()
        close(self.exchange)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(make_plan(tmp_path, proc="/proc", rules=(make_rule("comm", "ui"),)))
    yield made
    made.close()


def test_the_folder_of_the_socket_is_made_and_anybody_may_connect(bench: Bench) -> None:
    path = Path(bench.plan.socket)
    assert path.is_socket() and path.stat().st_mode & 0o777 == 0o666
    assert os.listdir(path.parent) == ["control"]
    assert bench.exchange.posts() == []


def test_a_client_is_served_by_the_talker_from_the_exchange(bench: Bench) -> None:
    bench.exchange.write_status(b'{"level":"low"}')
    bench.exchange.publish([make_candidate(10, rule=0), make_candidate(11, -1000)], 1.0)
    recorder = Recorder(bench.exchange)
    recorder.write(Note("ready", (("pid", 1),)), 1.0)
    with bench.client() as client:
        status = client.status()
        assert status["level"] == "low" and status["cost"]["helper"]["pid"] == os.getpid()
        assert status["cost"]["talker"]["pid"] == bench.desk.talker
        assert status["cost"]["talker"]["pss_kib"] > 0
        rows = list(client.candidates())
        assert bench.orders == [LOOK]
        assert [(row["order"], row["pid"], row["rule"], row["never"]) for row in rows] == [
            (1, 10, "lmkd.yaml:7", False),
            (2, 11, "own oom_score_adj", True),
        ]
        assert [event["event"] for event in client.events()] == ["ready"]
        recorder.write(Note("stop", ()), 2.0)
        assert [event["event"] for event in client.events(2)] == ["stop"]


def test_all_clients_have_one_talker_which_is_nobodys_victim(bench: Bench) -> None:
    bench.exchange.write_status(b"{}")
    with bench.client() as first, bench.client() as second:
        assert first.status() and second.status()
        assert bench.excluded == [bench.desk.talker]
        held = os.listdir(f"/proc/{bench.desk.talker}/fd")
        ours = {str(end) for end in (bench.exchange.reader, bench.exchange.writer, bench.exchange.post_writer)}
        assert not ours & set(held), "it keeps the guard's pipes open"


def test_a_talker_that_died_is_replaced_when_somebody_comes(bench: Bench) -> None:
    bench.exchange.write_status(b"{}")
    with bench.client() as client:
        client.status()
        talker = bench.desk.talker
        os.kill(talker, signal.SIGKILL)
        with pytest.raises(ControlError, match=r"ended the connection|broke"):
            client.status()
    bench.until(lambda: not bench.desk.talker)
    assert bench.excluded == [talker, 0]
    with bench.client() as client:
        assert client.status()
        assert bench.desk.talker not in (0, talker)


def test_without_a_process_to_give_the_client_waits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.exchange.write_status(b"{}")
    fork = os.fork
    failures = [OSError(11, "no memory")]

    def once() -> int:
        if failures:
            raise failures.pop()
        return fork()

    monkeypatch.setattr(os, "fork", once)
    with bench.client() as client:
        assert client.status()


def test_the_policy_is_what_the_guard_goes_by_and_says_where_it_was_given(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, proc="/proc", psi_step_us=2_000_000, given=(("policy.trim_idle", "lmkd.yaml:9:14"),))
    bench = Bench(plan)
    try:
        settings = {**as_dict(plan.settings), "trim_idle_ms": 7000, "fault_meter": False}
        states: tuple[dict[str, Any], ...] = ({"settings": settings}, {"truncated": True})
        for state in states:
            bench.exchange.write_status(json.dumps(state).encode())
            with bench.client() as client:
                rows = {row["name"]: row for row in client.policy()}
            assert set(field_names(plan.settings)) < set(rows)
            assert rows["psi_some_us"]["value"] == plan.some_us
            assert rows["trim_idle_ms"]["given"] == "lmkd.yaml:9:14"
            known = state.get("settings", as_dict(plan.settings))
            assert rows["trim_idle_ms"]["value"] == known["trim_idle_ms"]
            assert rows["fault_meter"]["value"] is known["fault_meter"]
    finally:
        bench.close()


def test_a_candidate_says_what_may_be_done_to_it(bench: Bench) -> None:
    bench.exchange.write_status(b"{}")
    flags = FLAG_TRIM | FLAG_FREEZE
    bench.exchange.publish([make_candidate(10, rule=0, flags=flags, grace_ms=70), make_candidate(11, 0)], 1.0)
    with bench.client() as client:
        first, second = client.candidates()
    names = ("rule_name", "trim", "freeze", "declared", "grace_ms", "group")
    assert [first[name] for name in names] == ["a rule", True, True, False, 70, "process"]
    assert [second[name] for name in names] == [None, False, False, False, 0, "process"]


def test_a_status_that_is_not_there_yet_is_an_answer(bench: Bench) -> None:
    with bench.client() as client, pytest.raises(ControlError, match="not written a status yet"):
        client.status()


def test_the_socket_of_an_earlier_instance_is_replaced(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    Path(plan.socket).parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
        stale.bind(plan.socket)
    (tmp_path / "run" / f"control.{os.getpid()}").touch()
    bench = Bench(plan)
    bench.exchange.write_status(b"{}")
    with bench.client() as client:
        client.status()
    bench.close()
    assert os.listdir(tmp_path / "run") == []


def test_the_socket_of_the_next_instance_is_left_alone(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    old, new = Bench(plan), Bench(plan)
    old.close()
    assert Path(plan.socket).is_socket()
    new.close()
    assert not Path(plan.socket).exists()


@pytest.mark.parametrize("path", ["/proc/nowhere/control", "control", "/" + "x" * 120])
def test_where_no_socket_can_be_made_the_desk_says_why(tmp_path: Path, path: str) -> None:
    before = os.listdir("/proc/self/fd")
    exchange = Exchange()
    desk = Desk(make_plan(tmp_path, socket=path), exchange, select.poll(), lambda pid: None)
    ((event, fields, level),) = exchange.posts()
    assert (event, level, dict(fields)["feature"]) == ("degraded", "warning", "native control socket")
    assert str(dict(fields)["cost"]).startswith(path)
    desk.close()
    close(exchange)
    assert os.listdir("/proc/self/fd") == before


def test_a_folder_in_the_sockets_place_leaves_nothing_behind(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    Path(plan.socket).mkdir(parents=True)
    (Path(plan.socket) / "file").touch()
    bench = Bench(plan)
    assert bench.exchange.posts()
    assert os.listdir(tmp_path / "run") == ["control"]
    bench.close()


def test_a_follower_sees_each_record_once(bench: Bench) -> None:
    recorder = Recorder(bench.exchange)
    source = ExchangeSource(bench.plan, bench.exchange)
    seen: list[int] = []
    following = 0
    for number in range(300):
        recorder.write(Note("hook", (("text", "x" * 1000),)), 1.0)
        if number % 7 == 0:
            events, following = source.events_since(following)
            seen += [event["seq"] for event in events]
    seen += [event["seq"] for event in source.events_since(following)[0]]
    assert seen == list(range(1, 301))
    assert source.events_since(10**6) == ([], 10**6)
    assert [event["seq"] for event in source.events_since(299)[0]] == [299, 300]
    assert all(json.dumps(row) for row in source.candidates())
