"""What the loop tells at once: the level when it changes, whom it signals; and a kill that was asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.control.notices import NoticesReader
from lmkd.guard.commands import NOTIFY
from lmkd.policy.pressure import LEVELS
from tests.unit.guard.test_exchange import close
from tests.unit.guard.test_loop import Bench, FakePort
from tests.unit.plans import make_candidate

GRACE_MS = 70


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, FakePort())
    made.exchange.publish([make_candidate(10, gain_kib=50000, grace_ms=GRACE_MS), make_candidate(11, 0)], 1.0)
    yield made
    close(made.exchange)


def ask_kill(bench: Bench, pid: int, start: int) -> None:
    bench.guard._observer.ask_kill(pid, start)
    bench.turn()


def test_a_change_of_level_is_told_at_once_and_to_the_helper(bench: Bench) -> None:
    reader = NoticesReader(bench.exchange.notices.view)
    bench.turn()
    assert reader.changed() is None
    bench.memory(0, 0)
    bench.turn()
    told = reader.changed()
    assert told is not None and (told.level, told.previous) == ("critical", "calm")
    assert told.reason == bench.records("pressure")[0]["reason"] == "headroom below its floor"
    assert told.headroom_kib == bench.guard.state.room.total_kib
    assert os.eventfd_read(bench.exchange.wake) == 2, "one for the level, one for the victim"
    commands = bench.exchange.commands()
    assert [level for operation, _, level in commands if operation == NOTIFY] == [LEVELS.index("critical")]


def test_whom_it_signals_is_told_and_counted(bench: Bench) -> None:
    reader = NoticesReader(bench.exchange.notices.view)
    bench.memory(0, 0)
    bench.turn()
    (told,) = reader.victims()
    assert (told.pid, told.signal, told.grace_ms, told.priority) == (10, "SIGKILL", 0, 900)
    assert reader.kill_count(-1000, 1000) == 1


def test_a_kill_that_is_asked_for_is_made_with_its_grace(bench: Bench) -> None:
    reader = NoticesReader(bench.exchange.notices.view)
    ask_kill(bench, 10, 110)
    assert bench.port.signals == [(10, "SIGTERM")]
    (told,) = reader.victims()
    assert (told.pid, told.signal, told.grace_ms, told.reason) == (10, "SIGTERM", GRACE_MS, "it was asked for")
    assert bench.records("kill")[0]["reason"] == "it was asked for"


def test_a_kill_of_somebody_else_is_refused(bench: Bench) -> None:
    ask_kill(bench, 10, 111)
    assert bench.port.signals == [] and len(bench.records("refusal")) == 1


def test_who_could_not_be_signalled_is_not_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakePort(refusal="no"))
    bench.exchange.publish([make_candidate(10, gain_kib=50000)], 1.0)
    reader = NoticesReader(bench.exchange.notices.view)
    bench.memory(0, 0)
    bench.turn()
    assert bench.port.signals and reader.victims() == []
    close(bench.exchange)


def test_in_a_dry_run_nobody_is_told_to_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakePort(), dry_run=True)
    bench.exchange.publish([make_candidate(10, gain_kib=50000)], 1.0)
    reader = NoticesReader(bench.exchange.notices.view)
    bench.memory(0, 0)
    bench.turn()
    assert bench.records("kill") and reader.victims() == []
    close(bench.exchange)
