"""The brake on real children: who is to yield yields, who is important does not, and who is ended no longer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.guard.commands import FREEZE, KILLED, RENICE, START_BITS, THAW
from lmkd.plan import Rule
from tests.unit.guard.children import child, needs_nice
from tests.unit.helper.test_brake import Bench, await_stop
from tests.unit.helper.test_reniced import nice
from tests.unit.helper.test_stopped import state_of, until
from tests.unit.plans import make_rule

BACKGROUND = make_rule("comm", "python*", 900)


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[Any]:
    made: list[Bench] = []

    def make(rule: Rule | None = None, **changes: Any) -> Bench:
        made.append(Bench(tmp_path, rule, **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.brake.release_all("the test is over")


@needs_nice
def test_who_is_to_yield_yields_for_so_long_and_only_who_is_meant(bench_of: Any) -> None:
    bench = bench_of(BACKGROUND)
    with child() as process:
        bench.brake.obey(RENICE, process.pid, 1 | 3000 << START_BITS)
        bench.know(process.pid)
        bench.ask(RENICE, process.pid, offset=1)
        assert (bench.reports, nice(process.pid)) == ([], nice(os.getpid()))
        bench.ask(RENICE, process.pid, ms=3000)
        assert (nice(process.pid), state_of(process.pid) in "SR") == (19, True)
        assert 2000 < bench.brake.timeout_ms() <= 3000
        bench.brake.obey(THAW, process.pid, 0)
        assert nice(process.pid) == 19
        bench.ask(RENICE, process.pid, ms=20)
        time.sleep(0.03)
        bench.brake.turn()
        assert (nice(process.pid), bench.brake.timeout_ms()) == (nice(os.getpid()), None)
        assert [event for event, _ in bench.reports] == ["renice", "renice"]
        assert {fields["name"] for _, fields in bench.reports} == {bench.scout.entry(process.pid).name}


@pytest.mark.parametrize("rule", [{"priority": 0}, {"priority": -500}, {"protect": True}])
def test_a_foreground_does_not_yield_whoever_asks(bench_of: Any, rule: dict[str, Any]) -> None:
    bench = bench_of(make_rule("comm", "python*", **rule))
    with child() as process:
        bench.know(process.pid)
        bench.ask(RENICE, process.pid)
        assert (nice(process.pid), bench.reports) == (nice(os.getpid()), [])


@needs_nice
@pytest.mark.parametrize(("priority", "ms"), [(900, 0), (0, 0), (0, 30_000), (-1000, 30_000)])
def test_one_that_came_to_the_front_has_its_share_back(bench_of: Any, priority: int, ms: int) -> None:
    bench = bench_of(BACKGROUND)
    with child() as process:
        bench.know(process.pid)
        bench.ask(RENICE, process.pid)
        bench.ask(RENICE, process.pid, ms=ms, offset=1)
        assert nice(process.pid) == 19
        bench.scout.entry(process.pid).priority = priority
        for _ in range(2):
            bench.ask(RENICE, process.pid, ms=ms)
        assert (nice(process.pid), bench.brake.timeout_ms()) == (nice(os.getpid()), None)
        assert [fields.get("reason") for _, fields in bench.reports[1:]] == ["it has come to the front"]


@needs_nice
@pytest.mark.parametrize(("adj", "share"), [(0, 0), (1, 19)])
def test_one_that_nobody_declared_is_judged_by_its_own_adj(bench_of: Any, adj: int, share: int) -> None:
    bench = bench_of()
    with child() as process:
        bench.know(process.pid)
        bench.scout.entry(process.pid).priority = adj
        nice(process.pid, 0)
        bench.ask(RENICE, process.pid)
        assert nice(process.pid) == share


@needs_nice
def test_a_dry_run_neither_lowers_nor_gives_back(bench_of: Any) -> None:
    real, dry = bench_of(BACKGROUND), bench_of(BACKGROUND, dry_run=True)
    with child() as process, child() as other:
        for bench in (real, dry):
            bench.know(process.pid)
            bench.know(other.pid)
        dry.ask(RENICE, process.pid)
        assert (nice(process.pid), dry.brake.timeout_ms()) == (nice(os.getpid()), None)
        real.ask(RENICE, process.pid)
        real.ask(FREEZE, other.pid)
        await_stop(other.pid)
        dry.brake.take_over()
        assert (nice(process.pid), state_of(other.pid), dry.reports) == (19, "T", [])


@needs_nice
@pytest.mark.parametrize("hold", [True, False])
def test_who_is_ended_has_its_share_back_to_free_its_memory(bench_of: Any, hold: bool) -> None:
    bench = bench_of(BACKGROUND, hold=hold)
    with child() as process:
        bench.know(process.pid)
        bench.ask(RENICE, process.pid)
        bench.brake.obey(KILLED, process.pid, int(time.monotonic() * 1000))
        assert nice(process.pid) == nice(os.getpid())
        assert (bench.reports[-1][1]["reason"], bench.brake.timeout_ms()) == ("it is ended", None)


@needs_nice
def test_the_stopped_and_the_reniced_are_waited_for_let_go_and_taken_over_together(bench_of: Any) -> None:
    bench = bench_of(BACKGROUND)
    with child() as frozen, child() as slow:
        for process in (frozen, slow):
            bench.know(process.pid)
        bench.ask(FREEZE, frozen.pid, ms=9000)
        await_stop(frozen.pid)
        assert 8000 < bench.brake.timeout_ms() <= 9000
        bench.ask(RENICE, slow.pid, ms=5000)
        assert 4000 < bench.brake.timeout_ms() <= 5000
        bench.ask(RENICE, slow.pid, ms=30_000)
        assert 8000 < bench.brake.timeout_ms() <= 9000
        following = bench_of(BACKGROUND)
        following.brake.take_over()
        until(lambda: state_of(frozen.pid) != "T")
        assert nice(slow.pid) == nice(os.getpid())
        following.know(frozen.pid)
        following.know(slow.pid)
        following.ask(FREEZE, frozen.pid)
        following.ask(RENICE, slow.pid)
        await_stop(frozen.pid)
        following.brake.release_all("lmkd ends")
        until(lambda: state_of(frozen.pid) != "T")
        assert (nice(slow.pid), following.brake.timeout_ms()) == (nice(os.getpid()), None)
        assert [fields["reason"] for _, fields in following.reports[-2:]] == ["lmkd ends"] * 2
