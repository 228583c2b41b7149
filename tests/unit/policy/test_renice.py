"""Renicing: only who grows faster than memory is made ready, is no foreground, and as long as memory is short."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.model import FLAG_DECLARED_FOREGROUND, Candidate, Kill, Renice, Settings
from lmkd.policy.forecast import Forecast
from lmkd.policy.growth import Watch
from lmkd.policy.headroom import Headroom
from lmkd.policy.renice import ASK_EVERY_MS, HORIZON_MS, LEASE_MS, Lowered, decide, unhindered
from lmkd.policy.step import State, step
from lmkd.policy.table import table_of
from lmkd.policy.trim import ARM_FACTOR
from lmkd.policy.victim import Grower, choose
from lmkd.values import replace
from tests.unit.policy import builders
from tests.unit.policy.builders import SETTINGS, declared, growing, make_app, make_sample, storeless

APPS = (
    make_app(10, 900),
    make_app(11, 700),
    make_app(12, 0),
    declared(13),
    make_app(14, 900, flags=FLAG_DECLARED_FOREGROUND),
    make_app(15, -1000),
    make_app(16, 1),
)
MAY_BE = (10, 11, 16)
STEADY = Forecast(tuple((at, int(60_000 - 30 * at)) for at in (100.0, 300.0, 500.0, 700.0, 900.0)), 30_000.0, 30_000.0)
SHORT_KIB = ARM_FACTOR * SETTINGS.trim_free_kib
FAST_KIB_S = 2 * SHORT_KIB
"""So fast that twice what counts as short lasts no longer than the horizon."""


class Run:
    """Feeds growers to ``decide`` and keeps whom it asked for, and when."""

    def __init__(self, apps: tuple[Candidate, ...] = APPS, settings: Settings = SETTINGS) -> None:
        self.table, self.settings = table_of(apps), settings
        self.lowered = Lowered()
        self.asks: list[tuple[float, Renice]] = []

    def feed(
        self, t_ms: float, pid: int = 0, rate_kib_s: float = FAST_KIB_S, free_kib: int = 1000, cache_kib: int = 0,
        gone: tuple[int, ...] = (),
    ) -> list[int]:  # fmt: skip
        """Returns whom this sample led to ask for; pid 0: nobody grows."""
        grower = Grower(pid, 50_000, 50_000, rate_kib_s) if pid else None
        room = Headroom(free_kib, cache_kib, 0, free_kib + cache_kib)
        sample = make_sample(t_ms, gone=gone)
        self.lowered, asks = decide(self.lowered, sample, self.settings, self.table, grower, room)
        self.asks += [(t_ms, ask) for ask in asks]
        return [ask.pid for ask in asks]

    @property
    def times(self) -> list[float]:
        return [t for t, _ in self.asks]


def test_one_that_grows_faster_than_memory_is_made_ready_yields() -> None:
    run = Run()
    assert run.feed(1000.0, 10) == [10]
    assert run.asks == [(1000.0, Renice(10, 1010, LEASE_MS))]
    assert run.lowered == Lowered(10, 1010, 1000.0, FAST_KIB_S)


def test_how_fast_it_grew_before_is_kept_while_it_yields() -> None:
    run = Run()
    run.feed(1000.0, 10)
    run.feed(1000.0 + ASK_EVERY_MS, 10, FAST_KIB_S / 4)
    assert run.lowered.rate_kib_s == FAST_KIB_S
    slow, other = Grower(10, 1, 1, FAST_KIB_S / 4), Grower(11, 1, 1, 5.0)
    assert unhindered(run.lowered, slow) == Grower(10, 1, 1, FAST_KIB_S)
    faster = Grower(10, 1, 1, 3.0 * FAST_KIB_S)
    assert unhindered(run.lowered, faster) == faster
    assert unhindered(run.lowered, other) == other
    assert unhindered(run.lowered, None) is None
    run.feed(1000.0 + ASK_EVERY_MS + LEASE_MS, 0)
    assert unhindered(run.lowered, slow) == slow, "nobody has asked it to yield any more"


def test_one_that_yields_is_the_runaway_that_it_would_be() -> None:
    """Its growth is slow because it was reniced: the deaths of the idle ones would only feed it."""
    apps = [make_app(pid, 900, 12_000) for pid in range(30, 38)] + [make_app(10, 200, 60_000)]
    table, slow = table_of(apps), Grower(10, 60_000, 60_000, 9000.0)
    lowered = Lowered(10, 1010, 900.0, 30_000.0)
    plain = choose(table, SETTINGS, 9000, 30_000.0, slow, (), 1.0)
    known = choose(table, SETTINGS, 9000, 30_000.0, unhindered(lowered, slow), (), 1.0)
    assert plain is not None and plain.reason.startswith("priority")
    assert known is not None and [victim.pid for victim in known.victims] == [10]


def test_the_decision_goes_by_growth_without_the_yielding() -> None:
    apps = [make_app(pid, 900, 12_000) for pid in range(30, 38)] + [make_app(10, 200, 60_000)]
    sample = replace(storeless(free_kib=30_000 - 27_000), t_ms=1000.0)
    yielding = Lowered(10, 1010, 900.0, 60_000.0)
    ended = []
    for lowered in (Lowered(), yielding):
        grower = Grower(10, 60_000, 60_000, 9000.0)
        state = State(watch=Watch(10, 990.0, 60_000, grower, 990.0, True), lowered=lowered, forecast=STEADY)
        _, actions, _ = step(state, sample, SETTINGS, table_of(apps))
        (kill,) = (action for action in actions if isinstance(action, Kill))
        ended.append([victim.pid for victim in kill.victims])
    assert 10 not in ended[0] and ended[1] == [10]


@pytest.mark.parametrize("pid", [11, 16])
def test_any_that_is_less_important_than_the_foreground_may_yield(pid: int) -> None:
    assert Run().feed(0.0, pid) == [pid]


@pytest.mark.parametrize("pid", [0, 12, 13, 14, 15, 99])
def test_no_foreground_nobody_protected_or_unknown_and_without_a_grower_nobody(pid: int) -> None:
    run = Run()
    for n in range(40):
        assert run.feed(100.0 * n, pid, free_kib=0) == []
    assert run.lowered == Lowered()


def test_it_can_be_turned_off() -> None:
    run = Run(settings=replace(SETTINGS, renice=False))
    assert run.feed(0.0, 10, free_kib=0) == []


@pytest.mark.parametrize(
    ("free_kib", "cache_kib", "asked"),
    [(40_000, 0, True), (41_000, 0, False), (0, 40_000, True), (0, 41_000, False), (20_000, 20_000, True),
     (20_000, 21_000, False), (-30_000, 41_000, False), (-30_000, 40_000, True), (-5000, 0, True)],
)  # fmt: skip
def test_what_is_free_and_clean_cache_have_to_last_for_the_horizon(free_kib: int, cache_kib: int, asked: bool) -> None:
    assert HORIZON_MS == 1000
    assert Run().feed(0.0, 10, 40_000.0, free_kib, cache_kib) == ([10] if asked else [])


@pytest.mark.parametrize("rate_kib_s", [-1000.0, 0.0, 500.0, 999.0])
def test_slow_growth_is_let_be_though_memory_is_short(rate_kib_s: float) -> None:
    run = Run()
    assert [run.feed(100.0 * n, 10, rate_kib_s, free_kib=1000) for n in range(30)] == [[]] * 30


def test_it_is_asked_again_while_memory_is_short_though_it_grows_slowly_now() -> None:
    run = Run()
    run.feed(0.0, 10)
    for n in range(1, 31):
        run.feed(100.0 * n, 10, 10.0, free_kib=SHORT_KIB - 1)
    assert run.times == [0.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0]
    assert ASK_EVERY_MS < LEASE_MS / 2, "one command may be lost"


def test_it_is_left_when_memory_is_short_no_more() -> None:
    run = Run()
    run.feed(0.0, 10)
    for n in range(1, 31):
        run.feed(100.0 * n, 10, 10.0, free_kib=SHORT_KIB // 2, cache_kib=SHORT_KIB - SHORT_KIB // 2)
    assert (run.times, run.lowered) == ([0.0], Lowered())


def test_fast_growth_is_asked_for_again_though_much_is_ready() -> None:
    run = Run()
    for n in range(11):
        run.feed(100.0 * n, 10, free_kib=FAST_KIB_S)
    assert run.times == [0.0, 500.0, 1000.0]


def test_whose_lease_is_over_is_judged_by_its_growth_again() -> None:
    run = Run()
    run.feed(0.0, 10)
    assert run.feed(LEASE_MS, 10, 10.0) == []
    run = Run()
    run.feed(0.0, 10)
    assert run.feed(LEASE_MS - 1.0, 10, 10.0) == [10]


def test_a_moment_without_a_grower_does_not_forget_who_yields() -> None:
    run = Run()
    run.feed(0.0, 10)
    run.feed(300.0)
    run.feed(350.0, 12)
    run.feed(370.0, 11, 10.0)
    assert run.feed(400.0, 10) == []
    assert run.feed(500.0, 10, 10.0) == [10]


def test_another_grower_yields_as_well_and_at_once_but_only_if_it_grows_fast() -> None:
    run = Run()
    run.feed(0.0, 10)
    assert run.feed(100.0, 11, 10.0) == []
    assert run.feed(200.0, 11) == [11]
    assert run.lowered == Lowered(11, 1011, 200.0, FAST_KIB_S)
    assert run.feed(700.0, 11, 10.0) == [11]


def test_one_that_is_gone_is_forgotten() -> None:
    run = Run()
    run.feed(0.0, 10)
    run.feed(100.0, gone=(11,))
    assert run.lowered.pid == 10
    run.feed(100.0, gone=(10,))
    assert run.lowered == Lowered()
    assert run.feed(600.0, 10, 10.0) == []


@pytest.mark.parametrize("app", [make_app(10, 0), make_app(10, -1000), declared(10), replace(declared(10), priority=5)])
@pytest.mark.parametrize("pid", [0, 10, 11])
def test_one_that_comes_to_the_front_has_its_share_back_at_once(app: Candidate, pid: int) -> None:
    run = Run()
    run.feed(0.0, 10)
    run.table, run.settings = table_of((app, *APPS[1:])), replace(SETTINGS, renice=False)
    assert run.feed(10.0, pid) == [10]
    assert (run.asks[-1][1], run.lowered) == (Renice(10, 1010, 0), Lowered())
    assert run.feed(20.0, 10) == []


def test_who_came_to_the_front_after_its_lease_or_got_the_pid_only_is_let_be() -> None:
    run = Run()
    run.feed(0.0, 10)
    run.table = table_of((make_app(10, 0, start_ticks=1011),))
    assert run.feed(10.0, 10) == []
    run.table = table_of((make_app(10, 0),))
    assert run.feed(LEASE_MS, 10) == []


def test_two_that_take_turns_to_grow_are_not_asked_for_at_each_look() -> None:
    run = Run()
    for n in range(50):
        run.feed(10.0 * n, 10 + n % 2)
    assert [t for t, _ in run.asks] == [0, 110, 220, 330, 440]


GROWERS = st.tuples(
    st.floats(1, 2000), st.sampled_from((0, 10, 11, 12, 13, 14, 15, 16, 99)), st.floats(-1000, 1e6),
    st.integers(-20_000, 200_000), st.integers(0, 100_000), st.booleans(),
)  # fmt: skip
STEPS = st.lists(GROWERS, max_size=100)
Step = tuple[float, int, float, int, int, bool]
PRIORITIES = st.lists(st.tuples(st.integers(-1000, 1000), st.booleans()), min_size=7, max_size=7)
TABLES = st.lists(PRIORITIES, min_size=1, max_size=3)


@given(TABLES, STEPS)
def test_nobody_important_and_nobody_declared_is_ever_asked_for(
    boards: list[list[tuple[int, bool]]], steps: list[Step]
) -> None:
    run = Run()
    t = 0.0
    for n, (apart_ms, pid, rate, free, cache, dies) in enumerate(steps):
        t += apart_ms
        board = boards[n // 4 % len(boards)]
        apps = [
            make_app(pid, priority, flags=FLAG_DECLARED_FOREGROUND if flag else 0)
            for pid, (priority, flag) in enumerate(board, 10)
        ]
        run.table = table_of(apps)
        may = {app.pid for app in apps if app.priority > 0 and not app.flags}
        before, count = run.lowered.pid, len(run.asks)
        run.feed(t, pid, rate, free, cache, (pid,) if dies else ())
        asked = [ask for _, ask in run.asks[count:]]
        assert asked in ([], [Renice(pid, 1000 + pid, LEASE_MS)], [Renice(before, 1000 + before, 0)])
        for ask in asked:
            assert (ask.pid in may) == (ask.ms > 0)
            assert not ask.ms or max(0, free) + cache < max(SHORT_KIB, 1 + HORIZON_MS * rate / 1000)
        assert run.lowered.pid in may | {0}


@given(st.lists(GROWERS.filter(lambda step: step[1] not in (11, 16)), max_size=200))
def test_one_is_never_asked_for_more_often_than_it_needs(steps: list[Step]) -> None:
    run = Run()
    t = 0.0
    for apart_ms, pid, rate, free, cache, _ in steps:
        t += apart_ms / 8
        run.feed(t, pid, rate, free, cache)
    assert all(after - before >= ASK_EVERY_MS for before, after in pairwise(run.times))


@given(st.lists(st.floats(1, 400), min_size=1, max_size=60))
def test_as_long_as_memory_is_short_the_lease_never_runs_out(aparts: list[float]) -> None:
    run = Run()
    t = 0.0
    run.feed(t, 10)
    for apart_ms in aparts:
        t += apart_ms
        run.feed(t, 10, 1.0)
        assert t - run.times[-1] < LEASE_MS and run.lowered == Lowered(10, 1010, run.times[-1], FAST_KIB_S)


def grow(run: builders.Run, headroom_kib: int, until_ms: float, **changes: Any) -> list[tuple[float, Renice]]:
    """By 60 MB/s, seen every 100 ms; when the step asked for whom."""
    asks = []
    for n in range(int(until_ms / 100) + 1):
        found = run.feed(growing(1000.0 + 100 * n, headroom_kib, 10, 20_000 + 6000 * n, **changes))
        asks += [(100.0 * n, one) for one in found if isinstance(one, Renice)]
    return asks


def test_a_step_asks_and_remembers() -> None:
    run = builders.Run((make_app(10, 900), make_app(11, 0)))
    ask = Renice(10, 1010, LEASE_MS)
    assert grow(run, 30_000, 1200) == [(100.0, ask), (600.0, ask), (1100.0, ask)]
    assert replace(run.state.lowered, rate_kib_s=0.0) == Lowered(10, 1010, 2100.0)
    assert run.kills == []


def test_a_step_leaves_who_has_room_or_may_not_be_reniced() -> None:
    assert grow(builders.Run((make_app(10, 900),)), 70_000, 1200) == []
    assert grow(builders.Run((make_app(10, 0),)), 30_000, 1200) == []
    assert grow(builders.Run((make_app(10, 900),), replace(SETTINGS, renice=False)), 30_000, 1200) == []


def test_a_victim_is_not_reniced_it_has_to_free_its_memory() -> None:
    run = builders.Run((make_app(10, 900, 60_000), make_app(11, 0)))
    killed = False
    for n in range(20):
        found = run.feed(growing(1000.0 + 100 * n, 1000, 10, 20_000 + 6000 * n))
        killed = killed or any(isinstance(one, Kill) for one in found)
        assert not killed or not any(isinstance(one, Renice) for one in found)
    assert killed
