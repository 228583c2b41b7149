"""Freezing: only what thrashes, is allowed to be stopped, and has rested; one at a time, never for longer than told."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.model import FLAG_FREEZE, Freeze, Note, Sample, Thaw
from lmkd.policy.freeze import REST_MAX_MS, REST_MIN_MS, RESTS_MAX, Frost, decide, may_help
from lmkd.policy.pressure import Stall
from lmkd.policy.table import table_of
from tests.unit.policy.builders import AnyAction, make_app, make_sample, make_settings

MAX_MS = 5000
SETTINGS = make_settings(freeze_max_ms=MAX_MS)
STALLED = Stall(0.0, some_pct=30.0, full_pct=10.0, refaults_s=3000.0)
APPS = (
    make_app(10, 900, flags=FLAG_FREEZE),
    make_app(11, 700, flags=FLAG_FREEZE),
    make_app(12, 900),
    make_app(13, 0, flags=FLAG_FREEZE),
)
TABLE = table_of(APPS)


def thrashing(t_ms: float, pid: int = 10, size_kib: int = 50_000, **changes: Any) -> Sample:
    """A sample in which this process takes nearly all the faults."""
    named = {"grower_pid": pid, "grower_share": 0.9, "grower_resident_kib": 10_000, "grower_kib_s": 20_000.0}
    return make_sample(t_ms, **named | {"grower_swapped_kib": size_kib - 10_000} | changes)


class Run:
    """Feeds samples to ``decide`` and keeps the actions with their times."""

    def __init__(self, level: str = "moderate", stall: Stall = STALLED) -> None:
        self.level, self.stall = level, stall
        self.frost = Frost()
        self.done: list[tuple[float, AnyAction]] = []

    def feed(self, *samples: Sample) -> None:
        for sample in samples:
            self.frost, actions = decide(self.frost, sample, SETTINGS, TABLE, self.level, self.stall)
            self.done += [(sample.t_ms, action) for action in actions]

    def thrash(self, start_ms: float, seconds: float, pid: int = 10, **changes: Any) -> None:
        self.feed(*(thrashing(start_ms + 100 * n, pid, **changes) for n in range(int(seconds * 10))))

    @property
    def freezes(self) -> list[tuple[float, int]]:
        return [(t, action.pid) for t, action in self.done if isinstance(action, Freeze)]


def test_one_that_thrashes_for_a_while_is_stopped_and_the_record_has_the_numbers() -> None:
    run = Run()
    run.thrash(0, 2)
    assert run.done[1:] == [(300.0, Freeze(10, 1010, MAX_MS))]
    note = run.done[0][1]
    assert isinstance(note, Note) and note.event == "thrash"
    assert dict(note.fields) == {
        "pid": 10, "name": "app10", "share_pct": 100, "faults_kib_s": 18_000, "some_pct": 30.0, "for_ms": 300,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "stall", "pid", "changes"),
    [
        ("low", STALLED, 10, {}),
        ("calm", STALLED, 10, {}),
        ("moderate", Stall(), 10, {}),
        ("moderate", Stall(0.0, some_pct=5.0, refaults_s=3000.0), 10, {}),
        ("moderate", STALLED, 10, {"grower_kib_s": 900.0}),
        ("moderate", STALLED, 12, {}),
        ("moderate", STALLED, 13, {}),
        ("moderate", STALLED, 99, {}),
        ("moderate", STALLED, 10, {"grower_share": 0.4}),
        ("moderate", STALLED, 10, {"grower_share": 0.0}),
        ("moderate", STALLED, 10, {"grower_resident_kib": None}),
    ],
)
def test_nobody_is_stopped_without_need_or_leave(level: str, stall: Stall, pid: int, changes: dict[str, Any]) -> None:
    run = Run(level, stall)
    run.thrash(0, 4, pid, **changes)
    assert run.done == []


@pytest.mark.parametrize("rate_kib_s", [5000, 20_000, 100_000])
@pytest.mark.parametrize("size_kib", [20_000, 200_000])
def test_what_grows_is_not_stopped(rate_kib_s: int, size_kib: int) -> None:
    run = Run()
    for n in range(60):
        size = size_kib + rate_kib_s * n // 10
        run.feed(thrashing(100.0 * n, size_kib=size, grower_kib_s=1.1 * rate_kib_s))
    assert run.done == []


def test_who_waits_for_it_faults_as_well() -> None:
    run = Run()
    run.feed(*(thrashing(50.0 * n, 13 if n % 3 == 1 else 10) for n in range(60)))
    assert [pid for _, pid in run.freezes] == [10]


def test_two_that_take_turns_are_both_and_neither() -> None:
    run = Run()
    run.feed(*(thrashing(50.0 * n, 12 + n % 2) for n in range(60)))
    assert run.done == []


def test_what_was_seen_long_ago_does_not_count() -> None:
    run = Run()
    run.feed(*(thrashing(2600.0 * n) for n in range(20)))
    assert run.done == []


def test_a_stall_is_given_a_moment_to_pass() -> None:
    run = Run()
    run.thrash(0, 0.4)
    assert may_help(run.frost, make_sample(400.0)) and not may_help(run.frost, make_sample(1400.0))
    assert not may_help(Frost(), make_sample(0.0))


def test_it_is_let_go_when_the_board_is_calm() -> None:
    run = Run()
    run.thrash(0, 1.1)
    run.level = "calm"
    run.feed(make_sample(2000.0))
    assert run.done[-1] == (2000.0, Thaw(10))
    assert run.frost.pid == 0


def test_one_that_died_needs_no_thawing() -> None:
    run = Run()
    run.thrash(0, 1.1)
    run.feed(make_sample(1500.0, gone=(10,)))
    assert (run.frost, len(run.done)) == (Frost(), 2)


def test_rests_double_and_another_may_be_stopped_meanwhile() -> None:
    run = Run()
    run.thrash(0, 60)
    stops = [t for t, _ in run.freezes]
    # 5 s stopped, then 5, 10, 20 s of rest, and up to 100 ms until the next sample.
    assert [round((after - before) / 1000) for before, after in pairwise(stops)] == [10, 15, 25]
    run = Run()
    run.thrash(0, 5.5)
    run.thrash(5500, 2, pid=11)
    assert [pid for _, pid in run.freezes] == [10, 11]


NAMES = st.sampled_from((10, 11, 12, 13, 99))
STEPS = st.lists(
    st.tuples(
        st.floats(1, 2000), NAMES, st.floats(0, 1), st.integers(49_000, 51_000), st.booleans(),
        st.sampled_from(("calm", "low", "moderate", "critical")),
    ),
    max_size=200,
)  # fmt: skip


@given(STEPS)
def test_whatever_happens_one_at_a_time_in_bounds_and_rested(
    steps: list[tuple[float, int, float, int, bool, str]],
) -> None:
    run = Run()
    t = 0.0
    for apart_ms, pid, share, size, dies, run.level in steps:
        t += apart_ms
        run.feed(thrashing(t, pid, size, grower_share=share, gone=(pid,) if dies and apart_ms > 1900 else ()))
        assert len(run.frost.rests) <= RESTS_MAX
        assert run.frost.until_ms - run.frost.since_ms <= MAX_MS + 1
        if run.frost.pid:
            assert run.level != "calm" or run.frost.since_ms == t
    stopped: tuple[float, int] | None = None
    rested: dict[int, float] = {}
    for at, action in run.done:
        if isinstance(action, Thaw):
            assert stopped is not None and stopped[1] == action.pid and at < stopped[0] + MAX_MS
            rested[action.pid] = at + max(REST_MIN_MS, at - stopped[0])
            stopped = None
        elif isinstance(action, Freeze):
            assert action.pid in (10, 11) and at + 1 >= rested.get(action.pid, 0.0)
            stopped = (at, action.pid)
    assert all(REST_MIN_MS <= rest.ms <= REST_MAX_MS for rest in run.frost.rests)


@given(st.lists(st.integers(200, 4900), min_size=1, max_size=8))
def test_the_rest_is_at_least_as_long_as_the_stop(stops: list[int]) -> None:
    run = Run()
    t = 0.0
    for stop_ms in stops:
        before = len(run.freezes)
        while len(run.freezes) == before:
            run.level = "moderate"
            run.feed(thrashing(t))
            t += 100
        began = run.freezes[-1][0]
        run.level = "calm"
        run.feed(make_sample(began + stop_ms))
        [rest] = run.frost.rests
        assert rest.ms >= stop_ms and rest.until_ms >= began + 2 * stop_ms
        t = max(t, began + stop_ms)
