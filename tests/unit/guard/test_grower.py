"""Who grows, by the helper's look at all sizes and by the fault meter; and page faults right after a step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.guard.commands import COMPACT, command_of
from lmkd.guard.exchange import GROWER_FRESH_MS, Exchange
from lmkd.guard.loop import Guard
from lmkd.guard.observe import GROWER_SHARE_MIN, Observer
from lmkd.guard.record import Recorder
from lmkd.kernel.fault_meter import FaultMeter
from lmkd.model import Compact
from tests.unit.guard.test_exchange import close
from tests.unit.guard.test_loop import FakePort
from tests.unit.kernel.test_meminfo import BOARD
from tests.unit.plans import FakeProc, make_plan

GROWER, FAULTER = 20, 30


class FakeMeter(FaultMeter):
    """A meter whose faults the test puts there; it wakes by a pipe."""

    def __init__(self) -> None:
        self.period = 1024
        self.reader, self.writer = os.pipe()
        self.descriptors = [self.reader]
        self.faults: dict[int, int] = {}
        self.drained = 0

    def alarm(self, faults: dict[int, int]) -> None:
        """So many faults of each process, and the kernel wakes us."""
        self.faults = faults
        os.write(self.writer, b"x")

    def drain(self) -> dict[int, int]:
        if self.faults:
            os.read(self.reader, 64)
            self.drained += 1
        faults, self.faults = self.faults, {}
        return faults

    def set_period(self, period: int) -> None:
        self.period = period

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class Bench:
    """A guard and its observer over a fake board with two processes of 4 MiB."""

    def __init__(self, base: Path) -> None:
        self.proc = FakeProc(base)
        (self.proc.root / "meminfo").write_bytes(BOARD)
        for pid in (GROWER, FAULTER):
            self.proc.add(pid, anon_kib=4096, swapped_kib=pid)
        self.exchange, self.meter = Exchange(), FakeMeter()
        self.grown: tuple[int, float] = (0, 0.0)
        self.plan = make_plan(base)
        self.observer = Observer(self.plan, self.meter, grower=lambda _t_ms: self.grown)

    def guard(self, again_ms: float) -> Guard:
        recorder = Recorder(self.exchange)
        return Guard(self.plan, self.observer, FakePort(), recorder, self.exchange, self.meter, again_ms)

    def close(self) -> None:
        self.meter.close()
        close(self.exchange)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    made = Exchange()
    yield made
    close(made)


# --- what the helper tells


def test_nobody_grows_until_somebody_was_seen_to(exchange: Exchange) -> None:
    assert exchange.grower(1_000_000.0) == (0, 0.0)
    assert exchange.grower(0.0) == (0, 0.0)


def test_who_was_seen_to_grow_is_told_as_long_as_that_is_fresh(exchange: Exchange) -> None:
    exchange.set_grower(GROWER, 5000.0, 1000.0)
    assert exchange.grower(1000.0) == (GROWER, 5000.0)
    assert exchange.grower(1000.0 + GROWER_FRESH_MS) == (GROWER, 5000.0)
    assert exchange.grower(1000.1 + GROWER_FRESH_MS) == (0, 0.0)


def test_a_look_that_finds_nobody_counts(exchange: Exchange) -> None:
    exchange.set_grower(GROWER, 5000.0, 1000.0)
    exchange.set_grower(0, 0.0, 1100.0)
    assert exchange.grower(1100.0) == (0, 0.0)


@given(st.integers(1, 2**22), st.floats(0, 10**7, width=32), st.floats(0, 1e12), st.integers(1, 2**22), st.floats(1, 6))
def test_the_grower_and_its_ratio_and_the_status_do_not_touch_each_other(
    pid: int, rate_kib_s: float, seen_ms: float, sampled: int, ratio: float
) -> None:
    exchange = Exchange()
    try:
        exchange.write_status(b"{}")
        exchange.set_grower_ratio(sampled, ratio)
        exchange.set_grower(pid, rate_kib_s, seen_ms)
        exchange.write_record(b"a record")
        assert exchange.grower(seen_ms) == (pid, rate_kib_s)
        assert exchange.grower_ratio(sampled) == pytest.approx(ratio, abs=0.001)
        assert exchange.read_status() == b"{}"
        assert exchange.records_since(0)[0] == [b"a record"]
    finally:
        close(exchange)


def test_a_compaction_is_the_helpers() -> None:
    assert command_of(Compact(4096))[0] == COMPACT


# --- what the observer makes of it


def named(bench: Bench, **changes: Any) -> tuple[int | None, float, int | None]:
    """(suspect, its share of the faults, what it has in the store) of a sample."""
    sample = bench.observer.sample("faults", **{"calm": False} | changes)
    return sample.grower_pid, sample.grower_share, sample.grower_swapped_kib


def test_without_the_helper_it_is_who_took_most_faults(bench: Bench) -> None:
    bench.meter.alarm({GROWER: 100, FAULTER: 300})
    assert named(bench) == (FAULTER, 0.75, FAULTER)


def test_who_was_seen_to_grow_counts_more_than_who_took_most_faults(bench: Bench) -> None:
    bench.meter.alarm({FAULTER: 300})
    bench.grown = (GROWER, 5000.0)
    sample = bench.observer.sample("faults", calm=False)
    assert (sample.grower_pid, sample.grower_swapped_kib, sample.grower_kib_s) == (GROWER, GROWER, 5000.0)


def test_who_grows_and_takes_most_faults_keeps_his_share_of_them(bench: Bench) -> None:
    bench.meter.alarm({GROWER: 300, FAULTER: 100})
    bench.grown = (GROWER, 5000.0)
    assert named(bench) == (GROWER, 0.75, GROWER)


def test_who_grows_without_any_faults_seen_is_looked_at_too(bench: Bench) -> None:
    bench.grown = (GROWER, 5000.0)
    assert named(bench, calm=True)[0] == GROWER


def test_where_nobody_stands_out_nobody_is_named(bench: Bench) -> None:
    bench.meter.alarm(dict.fromkeys(range(100, 100 + int(1 / GROWER_SHARE_MIN) + 1), 100))
    assert named(bench) == (None, 0.0, None)


def test_who_was_seen_to_grow_and_is_gone_is_not_named(bench: Bench) -> None:
    bench.grown = (99, 5000.0)
    assert named(bench)[0] is None


# --- page faults right after a step


def test_faults_that_are_passed_over_are_forgotten(bench: Bench) -> None:
    bench.meter.alarm({FAULTER: 300})
    bench.observer.pass_over()
    assert named(bench) == (None, 0.0, None)


def test_without_a_meter_there_is_nothing_to_pass_over(bench: Bench) -> None:
    Observer(bench.plan, None).pass_over()


def test_faults_right_after_a_step_are_passed_over_and_do_not_wake_again(bench: Bench) -> None:
    guard = bench.guard(again_ms=1e9)
    assert guard.turn() == ["timer"]
    stepped = guard.state
    bench.meter.alarm({FAULTER: 300})
    assert guard.turn() == ["faults"]
    assert (guard.state, bench.meter.drained, guard.wakeups) == (stepped, 1, 2)
    guard.show()
    assert guard.turn() == ["timer"]
    assert guard.state is not stepped


def test_faults_later_than_that_are_a_reason_to_look(bench: Bench) -> None:
    guard = bench.guard(again_ms=0.0)
    guard.turn()
    stepped = guard.state
    bench.meter.alarm({FAULTER: 300})
    assert guard.turn() == ["faults"]
    assert guard.state is not stepped


def test_faults_are_not_passed_over_when_it_is_time_to_look(bench: Bench) -> None:
    guard = bench.guard(again_ms=1e9)
    guard.turn()
    stepped = guard.state
    bench.meter.alarm({FAULTER: 300})
    guard.show()
    assert guard.turn() == ["faults"]
    assert guard.state is not stepped


def test_faults_together_with_something_else_are_not_passed_over(bench: Bench) -> None:
    guard = bench.guard(again_ms=1e9)
    guard.turn()
    stepped = guard.state
    reader, writer = os.pipe()
    guard.add_source(reader, "psi_some", 1)
    os.write(writer, b"x")
    bench.meter.alarm({FAULTER: 300})
    assert sorted(guard.turn()) == ["faults", "psi_some"]
    assert guard.state is not stepped
    guard.drop_source(reader)
    os.close(reader)
    os.close(writer)
