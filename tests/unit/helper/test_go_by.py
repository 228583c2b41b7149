"""A helper goes on by a new plan: what it knew stays, clients stay connected, nothing is left open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.control.client import ControlClient
from lmkd.errors import ControlError
from lmkd.guard.commands import DRAIN_LOG, HOOK, RELOAD
from lmkd.helper.scout import Scout
from lmkd.kernel.process import read_stat
from lmkd.model import Candidate
from lmkd.plan import Plan, dump_plan
from lmkd.plan import Ways as PlannedWays
from lmkd.values import replace
from tests.unit.helper.test_main import Bench
from tests.unit.plans import FakeProc, make_plan, make_rule

GIVEN = 7


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    made = FakeProc(tmp_path)
    made.add(10, comm=b"app", anon_kib=2048)
    made.add(20, comm=b"player", uid=0)
    return made


@pytest.fixture
def plan(tmp_path: Path, proc: FakeProc) -> Plan:
    ways = PlannedWays(level_file=str(tmp_path / "run" / "level"))
    return make_plan(tmp_path, rules=(make_rule("comm", "app"),), ways=ways)


@pytest.fixture
def bench(tmp_path: Path, plan: Plan, proc: FakeProc) -> Iterator[Bench]:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    made = Bench(plan, log)
    os.close(log)
    proc.add(made.pid, comm=b"lmkd", parent=os.getpid())
    made.posted("helper_started")
    yield made
    made.close()


def give(bench: Bench, proc: FakeProc, plan: Plan | None, number: int = GIVEN) -> None:
    """What the guard does with a new plan."""
    folder = proc.root / str(os.getpid()) / "fd"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(number)).write_bytes(dump_plan(plan) if plan is not None else b"no plan")
    assert bench.exchange.ask(RELOAD, 0, number)


def opened(bench: Bench) -> int:
    return len(os.listdir(f"/proc/{bench.pid}/fd"))


def row(bench: Bench, pid: int) -> Candidate:
    table = bench.exchange.table()
    place = table.index_of(pid)
    assert place is not None
    return table.row(place)


def test_the_new_rules_are_in_force_and_the_clients_stay(bench: Bench, proc: FakeProc, plan: Plan) -> None:
    with ControlClient(plan.socket) as client:
        client.set_priority(20, 600)
        rule = make_rule("comm", "app", 300, where="new.yaml:1")
        give(bench, proc, replace(plan, rules=(rule,), control_clients=5))
        bench.until(lambda: row(bench, 10).priority == 300)
        bench.exchange.write_status(b"{}")
        rows = {one["pid"]: one for one in client.candidates()}
        assert rows[10]["rule"] == "new.yaml:1"
        assert rows[20]["priority"] == 600
        assert client.set_priority(20, 650)["previous"] == 600
        assert client.clear(20)["priority"] == 0
    assert bench.pid and read_stat("/proc", bench.pid) is not None


def test_what_a_rule_gave_goes_with_the_rule(bench: Bench, proc: FakeProc, plan: Plan) -> None:
    assert (row(bench, 10).priority, proc.adj(10)) == (900, 900)
    give(bench, proc, replace(plan, rules=()))
    bench.until(lambda: row(bench, 10).priority == 0)


def test_the_file_that_tells_the_level_goes_on_telling_it(bench: Bench, proc: FakeProc, plan: Plan) -> None:
    path = Path(plan.ways.level_file)
    bench.until(lambda: path.read_text().startswith("level=calm"))
    seen = set()
    give(bench, proc, replace(plan, rules=()))

    def changed() -> bool:
        seen.add(path.read_text().split()[0])
        return row(bench, 10).priority == 0

    bench.until(changed)
    assert seen == {"level=calm"}
    moved = replace(plan.ways, level_file=str(path.parent / "other"))
    give(bench, proc, replace(plan, ways=moved), GIVEN + 1)
    bench.until((path.parent / "other").exists)
    assert path.read_text().startswith("level=unknown")


def test_nothing_is_left_open_however_often(bench: Bench, proc: FakeProc, plan: Plan, tmp_path: Path) -> None:
    (proc.root / "swaps").write_text("Filename Type Size Used Priority\n")
    limit = tmp_path / "max_pool_percent"
    limit.write_text("20\n")
    with ControlClient(plan.socket) as client:
        client.set_priority(20, 600)
        first = 0
        for turn in range(8):
            give(bench, proc, replace(plan, zswap_limit=str(limit), rules=(make_rule("comm", "app", 300 + turn),)))
            bench.until(lambda turn=turn: row(bench, 10).priority == 300 + turn)  # type: ignore[misc]
            client.set_priority(20, 650)  # and it is back in its loop
            first = first or opened(bench)
        assert opened(bench) == first


def test_a_hook_that_runs_is_still_waited_for(tmp_path: Path, proc: FakeProc) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\nwhile ! [ -e {tmp_path}/go ]; do sleep 0.02; done\nexit 3\n")
    hook.chmod(0o755)
    plan = make_plan(tmp_path, rules=(make_rule("comm", "app", on_kill=str(hook)),))
    log = os.open(os.devnull, os.O_WRONLY)
    bench = Bench(plan, log)
    try:
        bench.posted("helper_started")
        proc.add(bench.pid, comm=b"lmkd", parent=os.getpid())
        bench.exchange.ask(HOOK, 10, 0)
        bench.exchange.ask(DRAIN_LOG)
        give(bench, proc, replace(plan, rules=(make_rule("comm", "app", 300),)))
        bench.until(lambda: row(bench, 10).priority == 300)
        (tmp_path / "go").touch()
        assert bench.posted("hook")["outcome"] == "ended with 3"
    finally:
        bench.close()
        os.close(log)


def test_a_plan_that_cannot_be_read_ends_it_for_the_guard_has_the_plan(bench: Bench, proc: FakeProc) -> None:
    give(bench, proc, None)
    assert bench.ended() == 0


def test_other_sockets_are_other_connections(bench: Bench, proc: FakeProc, plan: Plan, tmp_path: Path) -> None:
    with ControlClient(plan.socket) as client:
        client.set_priority(20, 600)
        other = str(tmp_path / "other" / "control")
        give(bench, proc, replace(plan, socket=other))
        bench.until(lambda: os.path.exists(other))
        with pytest.raises(ControlError, match=r"ended the connection|broke"):
            client.set_priority(20, 650)
        assert not os.path.exists(plan.socket)
        with ControlClient(other) as again:
            assert again.set_priority(20, 650)["previous"] == 600


def test_before_the_first_client_there_is_nobody_to_tell(bench: Bench, proc: FakeProc, plan: Plan) -> None:
    give(bench, proc, replace(plan, rules=()))
    bench.until(lambda: row(bench, 10).priority == 0)
    with ControlClient(plan.socket) as client:
        assert client.set_priority(20, 600)["previous"] == 0


def test_the_number_of_a_talker_that_has_ended_may_be_anybodys(tmp_path: Path, proc: FakeProc) -> None:
    scout = Scout(make_plan(tmp_path), (), lambda *_: None)
    scout.exclude(20)
    scout.scan()
    assert scout.pids() == [10]
    scout.exclude(0)
    scout.scan()
    assert scout.pids() == [10, 20]
