"""Hold-down on real children: who came back is stopped, who is important, another, or early enough is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.guard.commands import FREEZE, KILLED, START_BITS, THAW
from lmkd.helper.brake import Brake
from lmkd.helper.scout import Scout
from lmkd.kernel.syscalls import Libc
from lmkd.plan import Rule
from lmkd.values import replace
from tests.unit.guard.children import SLEEP, child
from tests.unit.helper.test_stopped import state_of, until
from tests.unit.plans import make_plan, make_rule

FORKER = """
import ctypes, os, sys, time
def hog():
    if not (pid := os.fork()):
        ctypes.CDLL(None).prctl(15, b"hog")
        memory = bytearray(b"x" * 4_000_000)
        time.sleep(60)
    return pid
print("ready", hog(), flush=True)
for line in sys.stdin:
    print(hog(), flush=True)
"""


class Bench:
    """A scout and a brake over the real /proc that know only the test's children."""

    def __init__(self, base: Path, rule: Rule | None, hold: bool = True, **changes: Any) -> None:
        plan = make_plan(base, proc="/proc", mirror=False, **changes)
        settings = replace(plan.settings, hold_base_ms=20_000, respawn_hold=hold)
        plan = replace(plan, settings=settings, rules=(rule,) if rule else ())
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.scout = Scout(plan, (os.getpid(),), self._report)
        self.brake = Brake(plan, self.scout, Libc(), (2**22 + 1,), self._report)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        self.reports.append((event, dict(fields)))

    def know(self, pid: int) -> None:
        self.scout._identify(pid, again=True)
        self.scout.measure(private=False, only=(pid,))

    def end(self, pid: int) -> None:
        """As the guard does it: signal, then tell."""
        self.brake.obey(KILLED, pid, int(time.monotonic() * 1000))
        os.kill(pid, signal.SIGKILL)

    def ask(self, operation: int, pid: int, ms: int = 30_000, offset: int = 0) -> None:
        """As the guard does it: FREEZE or RENICE one that is known, for so long."""
        entry = self.scout.entry(pid)
        assert entry is not None
        self.brake.obey(operation, pid, (entry.start + offset) | ms << START_BITS)

    def meet(self, pid: int) -> bool:
        self.know(pid)
        self.brake.look((pid,))
        return pid in self.brake.stopped


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[Any]:
    made: list[Bench] = []

    def make(rule: Rule | None = None, **changes: Any) -> Bench:
        made.append(Bench(tmp_path, rule, **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.brake.release_all("the test is over")


def await_stop(pid: int) -> None:
    until(lambda: state_of(pid) == "T")


def end_one(bench: Bench, script: str = SLEEP) -> None:
    with child(script) as first:
        bench.know(first.pid)
        time.sleep(0.03)  # a start time is told in ticks: one that is born in the same tick would be its brother
        bench.end(first.pid)
        first.wait(10)


def test_who_comes_back_is_stopped_and_each_time_longer(bench_of: Any) -> None:
    bench = bench_of()
    assert not bench.brake.alert
    end_one(bench)
    assert bench.brake.alert
    for number, ms in ((1, 20_000), (2, 40_000)):
        with child() as again:
            assert bench.meet(again.pid)
            await_stop(again.pid)
            event, fields = bench.reports[-1]
            assert (event, fields["round"], round(fields["ms"], -3)) == ("hold", number, ms)
            time.sleep(0.03)
            bench.end(again.pid)
            assert bench.reports[-1][1]["reason"] == "it is ended"
            again.wait(10)


def test_another_command_line_is_another_application(bench_of: Any) -> None:
    bench = bench_of()
    end_one(bench)
    with child(SLEEP + " # another") as other:
        assert not bench.meet(other.pid)


def test_who_was_there_before_is_let_be(bench_of: Any) -> None:
    bench = bench_of()
    with child() as brother:
        time.sleep(0.03)
        end_one(bench)
        assert not bench.meet(brother.pid)


def test_one_that_only_forks_and_names_itself_later_is_known_again(bench_of: Any) -> None:
    bench = bench_of()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", FORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        try:
            pids = [int(parent.stdout.readline().split()[1])]
            bench.know(parent.pid)
            until(lambda: Path(f"/proc/{pids[0]}/comm").read_text() == "hog\n")
            bench.know(pids[0])
            bench.end(pids[0])
            time.sleep(0.03)  # a start time is told in ticks: one as old as the victim would be its brother
            parent.stdin.write("\n")
            parent.stdin.flush()
            pids.append(int(parent.stdout.readline()))
            until(lambda: Path(f"/proc/{pids[1]}/comm").read_text() == "hog\n")
            assert bench.meet(pids[1])
            os.kill(pids[1], signal.SIGKILL)
        finally:
            parent.kill()


@pytest.mark.parametrize("rule", [{"priority": 0}, {"priority": -500}, {"protect": True}])
def test_the_important_are_never_held_and_the_record_says_so_once(bench_of: Any, rule: dict[str, Any]) -> None:
    bench = bench_of(make_rule("comm", "python*", **rule))
    end_one(bench)
    with child() as again:
        assert not bench.meet(again.pid)
        assert not bench.meet(again.pid)
        [(event, fields)] = bench.reports
        assert (event, fields["refused"]) == ("hold", "foreground, protected or lmkd's own")
        assert state_of(again.pid) in "SR"


def test_a_stop_that_fails_is_recorded_once(bench_of: Any, tmp_path: Path) -> None:
    bench = bench_of()
    (tmp_path / "run").write_text("a file where the list's folder should be")
    end_one(bench)
    with child() as again:
        assert not bench.meet(again.pid)
        assert not bench.meet(again.pid)
        assert [event for event, _ in bench.reports] == ["hold"]
        assert "stopped.new" in bench.reports[0][1]["refused"]


def test_lmkds_own_children_are_never_held(bench_of: Any) -> None:
    bench = bench_of()
    bench.brake._own = (os.getpid(),)
    end_one(bench)
    with child() as again:
        assert not bench.meet(again.pid)


@pytest.mark.parametrize("changes", [{"hold": False}, {"dry_run": True}])
def test_it_can_be_turned_off_and_a_dry_run_holds_nobody(bench_of: Any, changes: dict[str, Any]) -> None:
    bench = bench_of(**changes)
    end_one(bench)
    with child() as again:
        assert not bench.meet(again.pid)


def test_the_guard_freezes_and_thaws_but_only_who_is_meant(bench_of: Any) -> None:
    bench = bench_of(make_rule("comm", "python*", 900))
    with child() as process:
        bench.know(process.pid)
        start = bench.scout.entry(process.pid).start
        bench.brake.obey(FREEZE, process.pid, (start + 1) | 3000 << START_BITS)
        assert bench.reports == []
        bench.brake.obey(FREEZE, process.pid, start | 3000 << START_BITS)
        until(lambda: state_of(process.pid) == "T")
        assert bench.reports[-1][0] == "freeze" and bench.reports[-1][1]["ms"] == 3000
        bench.brake.obey(THAW, process.pid, 0)
        until(lambda: state_of(process.pid) != "T")
        bench.brake.obey(THAW, process.pid, 0)
        assert [event for event, _ in bench.reports] == ["freeze", "release"]


def test_a_foreground_is_not_frozen_whoever_asks(bench_of: Any) -> None:
    bench = bench_of(make_rule("comm", "python*", 0))
    with child() as process:
        bench.know(process.pid)
        bench.brake.obey(FREEZE, process.pid, bench.scout.entry(process.pid).start | 3000 << START_BITS)
        assert state_of(process.pid) in "SR"
