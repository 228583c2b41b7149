"""The talker goes on by a new plan: connections stay, answers and rights are the new plan's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.helper.orders import ANSWER, NEW_PLAN, RULED
from lmkd.plan import Plan, dump_plan
from lmkd.policy.step import State
from lmkd.values import replace
from tests.unit.control.talking import Talking
from tests.unit.plans import FakeProc, make_rule

GIVEN, GUARD = 9, 5


@pytest.fixture
def talking(tmp_path: Path) -> Iterator[Talking]:
    """Its helper is the test's parent, whose parent is the guard."""
    proc = FakeProc(tmp_path)
    proc.add(os.getppid(), comm=b"helper", parent=GUARD)
    proc.add(GUARD, comm=b"guard")
    proc.add(10, comm=b"app10", uid=0)
    made = Talking(tmp_path, control_gid=4242, control_group="lmkd")
    yield made
    made.close()


def give(talking: Talking, plan: Plan | None) -> bool:
    """What the helper does with a new plan; does the talker go on?"""
    path = Path(talking.plan.proc) / str(GUARD) / "fd" / str(GIVEN)
    path.write_bytes(dump_plan(plan) if plan is not None else b"?")
    talking.helper.send(ANSWER.pack(0, NEW_PLAN, 0, 0, GIVEN))
    return talking.turn(0)


def test_connections_subscriptions_and_answers_go_on(talking: Talking) -> None:
    client = talking.client()
    client.ask("subscribe")
    assert give(talking, replace(talking.plan, rules=(make_rule("comm", "x", where="new.yaml:3"),)))
    talking.exchange.notices.tell_level("calm", State(level="low"), 5.0, "because")
    assert client.receive()["level"]["level"] == "low"
    talking.answer = lambda order: ANSWER.pack(order[0], RULED, 0, 0, 0)
    assert "new.yaml:3 gives its priority" in client.ask("set", pid=10, priority=900)["error"]


def test_an_order_at_work_is_still_answered(talking: Talking) -> None:
    client = talking.client()
    talking.answer = lambda order: None
    client.send(b'{"v":1,"op":"set","pid":10,"priority":900}')
    talking.turns(3)
    assert give(talking, talking.plan)
    talking.helper.send(ANSWER.pack(talking.orders[-1][0], 0, 900, 0, -1))
    assert client.receive()["set"]["priority"] == 900


def test_the_bound_on_clients_is_the_new_one(talking: Talking) -> None:
    clients = [talking.client() for _ in range(3)]
    assert all(client.ask("status")["ok"] for client in clients)
    assert give(talking, replace(talking.plan, control_clients=3))
    assert talking.client().ended()
    assert clients[0].ask("status")["ok"]


@pytest.mark.parametrize("change", [{"control_gid": 4243}, {}])
def test_members_of_another_group_come_again(talking: Talking, change: dict[str, int]) -> None:
    root, member = talking.client(), talking.client()
    root.ask("status"), member.ask("status")
    last = max(talking.talker.connections.values(), key=lambda one: one.number)
    last.peer = replace(last.peer, uid=1000)
    assert give(talking, replace(talking.plan, **change))
    assert member.ended(3) is bool(change)
    assert root.ask("status")["ok"]


def test_without_the_plan_it_ends_and_the_next_one_has_it(talking: Talking) -> None:
    talking.client().ask("status")
    assert not give(talking, None)
