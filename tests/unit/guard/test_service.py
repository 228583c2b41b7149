"""The guard's process, but for its priority and its locks: what the helper says, what a reload does to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.guard.commands import KILL_ASKED, RELOAD, STOP
from lmkd.plan import dump_plan
from lmkd.resident.service import Resident
from lmkd.values import replace
from tests.unit.guard.children import DEAF, child
from tests.unit.guard.test_exchange import close
from tests.unit.guard.test_loop import Bench, FakePort
from tests.unit.guard.test_reload import planner
from tests.unit.plans import make_candidate, make_rule

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Its guard is the resident's, of which the port is a fake."""
    before = [signal.getsignal(number) for number in NUMBERS]
    made = Bench(tmp_path, FakePort())
    made.plan = replace(made.plan, settings=replace(made.plan.settings, fault_meter=False))
    made.exchange.publish([make_candidate(10, grace_ms=70), make_candidate(11, -1000)], 1.0)
    yield made
    signal.set_wakeup_fd(-1)
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)
    close(made.exchange)


def resident(bench: Bench, helper: int = 0) -> Resident:
    made = Resident(bench.plan, bench.exchange, helper)
    made._guard._port = bench.port
    bench.guard = made._guard
    return made


def test_a_kill_that_the_helper_passes_on_is_made_in_the_next_step(bench: Bench) -> None:
    made = resident(bench)
    bench.guard.turn()
    bench.exchange.post(KILL_ASKED, (("pid", 10), ("start", 110), ("by", 77)))
    assert bench.guard.turn() == ["helper"]
    assert bench.port.signals == []
    made._take_posts()
    assert bench.records("kill_asked")[0]["by"] == 77
    bench.guard.turn()
    assert bench.port.signals == [(10, "SIGTERM")]
    assert bench.records("kill")[0]["reason"] == "it was asked for"


@pytest.mark.parametrize(
    ("pid", "start"), [(10, 111), (11, 111), (12, 112), ("10", 110), (None, None), (-1, 110)]
)
def test_nobody_else_is_killed_for_it(bench: Bench, pid: object, start: object) -> None:
    made = resident(bench)
    bench.exchange.post(KILL_ASKED, (("pid", pid), ("start", start)))
    made._take_posts()
    bench.guard.turn()
    assert bench.port.signals == []


def test_a_good_reload_gives_the_helper_the_plan_and_leaves_it_alive(bench: Bench, tmp_path: Path) -> None:
    new = replace(bench.plan, rules=(make_rule("comm", "ui"),))
    (tmp_path / "made").write_bytes(dump_plan(new))
    script = f"os.write(fd, open({str(tmp_path / 'made')!r}, 'rb').read())"
    bench.plan = replace(bench.plan, reload_argv=planner(tmp_path, script).reload_argv)
    with child(DEAF) as helper:
        made = resident(bench, helper.pid)
        made._reload.start(bench.plan, made._guard)
        os.waitid(os.P_PID, made._reload.child, os.WEXITED | os.WNOWAIT)
        (bench.proc.root / "pressure" / "memory").unlink()  # a plain file is no trigger
        made._collect()
        asked = bench.exchange.commands()
        assert [(operation, argument) for operation, _, argument in asked if operation in (RELOAD, STOP)] == [
            (RELOAD, made._reload.given)
        ]
        assert made._plan.rules == bench.guard.plan.rules == new.rules
        assert made._guard.helper == helper.pid and helper.poll() is None
        os.close(made._reload.given)


def test_a_helper_that_takes_no_more_commands_is_ended_and_another_one_has_the_plan(bench: Bench) -> None:
    with child(DEAF) as helper:
        made = resident(bench, helper.pid)
        while bench.exchange.ask(STOP):
            pass
        made._tell_helper(RELOAD, 5)
        os.waitid(os.P_PID, helper.pid, os.WEXITED | os.WNOWAIT)
        made._collect()
        assert made._guard.helper == 0
        assert bench.records("helper_died")[0]["code"] == -signal.SIGKILL
