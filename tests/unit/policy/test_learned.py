"""What receipts teach: how long a kill takes to help, so how early it is decided; and what follows a landing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.model import Compact, Sample, StoreSample
from lmkd.policy.learned import KILL_MS_MAX, KILL_MS_MIN, Learned, with_learned
from lmkd.policy.step import COMPACT_MIN_KIB, State
from lmkd.values import replace
from tests.unit.policy.builders import (
    FLOOR_KIB,
    SETTINGS,
    Run,
    kills_in,
    make_app,
    make_sample,
    make_settings,
    make_store,
    pids,
    with_headroom,
)

LOW_KIB = FLOOR_KIB - 1000
DEFAULT = Learned()


def short(t_ms: float, more_kib: int = 0, **changes: Any) -> Sample:
    """1000 KiB below the floor, and what has come back since."""
    return with_headroom(t_ms, LOW_KIB + more_kib, **changes)


def killed(after_ms: float, state: State | None = None) -> Run:
    """One was killed at 1000 ms, and was dead with all of its memory back so much later."""
    run = Run([make_app(1, gain_kib=8000)], state=state)
    run.feed(short(1000), short(1000 + after_ms, 8000, gone=(1,)))
    assert len(run.notes("receipt")) == 1
    return run


# --- the store's filling


def filling(t_ms: float, used_kib: int, **changes: Any) -> Sample:
    """A store that fills, with headroom enough in it, and none beside it."""
    store = make_store(orig_kib=3 * used_kib, used_kib=used_kib)
    return make_sample(t_ms, store=store, free_kib=FLOOR_KIB + 2000, file_kib=0, **changes)


def test_a_death_ends_what_was_known_of_the_filling_of_the_store() -> None:
    run = Run([make_app(1, gain_kib=700), make_app(2), make_app(3)])
    run.feed(*(filling(1000 + 100 * n, 66_500 + 1500 * n) for n in range(5)))
    assert [dict(kill.numbers)["trigger"] for kill in run.kills] == ["the store is full before a kill could help"]
    run.feed(filling(1410, 72_600, gone=pids(run.kills[0])), filling(1430, 72_600), filling(1520, 72_600))
    assert len(run.kills) == len(run.notes("receipt")) == 1


# --- the horizon


def test_a_board_whose_kills_are_quick_has_the_horizon_of_its_settings() -> None:
    assert with_learned(SETTINGS, DEFAULT) is SETTINGS
    assert with_learned(SETTINGS, Learned(kill_ms=66.0)) is SETTINGS


def test_the_horizon_grows_with_the_time_that_a_kill_takes() -> None:
    assert with_learned(SETTINGS, Learned(kill_ms=167.9)).kill_horizon_ms == SETTINGS.stall_budget_ms + 167


@given(st.floats(KILL_MS_MIN, KILL_MS_MAX), st.floats(KILL_MS_MIN, KILL_MS_MAX), st.integers(10, 2000))
def test_the_horizon_is_never_below_its_setting_grows_with_the_kills_and_has_its_bound(
    one_ms: float, other_ms: float, horizon_ms: int
) -> None:
    settings = make_settings(kill_horizon_ms=horizon_ms)
    short_ms, long_ms = (
        with_learned(settings, Learned(each)).kill_horizon_ms for each in sorted((one_ms, other_ms))
    )
    assert horizon_ms <= short_ms <= long_ms <= max(horizon_ms, settings.stall_budget_ms + KILL_MS_MAX)
    assert with_learned(settings, Learned(one_ms)) == replace(
        settings, kill_horizon_ms=with_learned(settings, Learned(one_ms)).kill_horizon_ms
    )


def test_a_board_whose_kills_are_slow_decides_earlier() -> None:
    # 20 MB/s with 4 MB above the floor: 200 ms are left.
    trace = with_headroom(1000, FLOOR_KIB + 8000), with_headroom(1200, FLOOR_KIB + 4000)
    quick, slow = Run([make_app(1)]), Run([make_app(1)], state=State(learned=Learned(kill_ms=250.0)))
    quick.feed(*trace)
    slow.feed(*trace)
    assert (len(quick.kills), len(slow.kills)) == (0, 1)


# --- what receipts teach


def test_a_slow_kill_teaches_that_kills_are_slower_and_a_quick_one_that_they_are_quicker() -> None:
    assert killed(5).state.learned.kill_ms < DEFAULT.kill_ms < killed(150).state.learned.kill_ms


@pytest.mark.parametrize(("took_ms", "bound"), [(0.0, KILL_MS_MIN), (990.0, KILL_MS_MAX)])
def test_what_is_learned_of_the_time_stays_in_its_bounds(took_ms: float, bound: float) -> None:
    state = State()
    for _ in range(30):
        learned = killed(took_ms, state).state.learned
        assert KILL_MS_MIN <= learned.kill_ms <= KILL_MS_MAX
        state = State(learned=learned)
    assert state.learned.kill_ms == pytest.approx(bound)


def test_a_victim_that_never_dies_teaches_nothing() -> None:
    run = Run([make_app(1, gain_kib=8000)])
    run.feed(*(short(1000 + at) for at in range(0, 1100, 10)))
    assert [one["outcome"] for one in run.notes("receipt")] == ["stuck"]
    assert run.state.learned == DEFAULT


def test_the_receipt_tells_the_time_to_half_and_what_was_learned() -> None:
    run = Run([make_app(1, gain_kib=8000)])
    run.feed(short(1000), short(1010, 3999), short(1030, 4000), short(1055, 8000, gone=(1,)))
    [note] = run.notes("receipt")
    assert (note["half_ms"], note["ms"]) == (30.0, 55.0)
    assert note["kill_ms"] == round(run.state.learned.kill_ms, 1) == pytest.approx(0.7 * 40 + 0.3 * 30)
    assert note["gain_factor"] == round(run.state.learned.gain_factor, 2) == 1.0


def test_the_time_to_half_of_one_that_returned_less_is_the_whole_time() -> None:
    run = Run([make_app(1, gain_kib=8000)])
    run.feed(short(1000), short(1010, 1000, gone=(1,)), short(1500, 1000))
    [note] = run.notes("receipt")
    assert note["half_ms"] == note["ms"] == 500


# --- after a landing


def landing(**changes: Any) -> list[Compact]:
    """The compactions asked for when a kill lands on such a board."""
    run = Run([make_app(1, gain_kib=8000)])
    run.feed(short(1000, **changes), short(1030, 8000, gone=(1,), **changes))
    assert len(run.notes("receipt")) == 1
    return [one for one in run.actions if isinstance(one, Compact)]


def holding(slack_kib: int) -> StoreSample:
    """A store that takes so much more than the bytes that it holds."""
    return make_store(orig_kib=20_000, compressed_kib=5000, used_kib=5000 + slack_kib)


def test_a_store_that_takes_much_more_than_it_holds_is_compacted_after_a_landing() -> None:
    assert landing(store=holding(COMPACT_MIN_KIB)) == [Compact(COMPACT_MIN_KIB)]


def test_a_store_without_holes_an_empty_one_and_none_are_not_compacted() -> None:
    assert landing(store=holding(COMPACT_MIN_KIB - 1)) == []
    assert landing(store=make_store()) == []
    assert landing(store=None) == []


def test_nothing_is_compacted_while_the_kill_is_in_flight() -> None:
    run = Run([make_app(1, gain_kib=8000)])
    run.feed(*(short(1000 + at, store=holding(COMPACT_MIN_KIB)) for at in range(0, 100, 10)))
    assert not any(isinstance(one, Compact) for one in run.actions)


# --- just after a death


def pieces(*after: tuple[float, int]) -> Run:
    """A small one was ended and landed at 1030 ms with 20.9 MB of headroom; then these (ms later, KiB)."""
    run = Run([make_app(1, 900, 1500), *(make_app(pid, 700, 1500) for pid in range(11, 19))])
    run.feed(short(1000), with_headroom(1030, 20_900, gone=(1,)))
    assert [pids(kill) for kill in run.kills] == [(1,)] and run.state.flight is None
    run.feed(*(with_headroom(1030 + at, kib) for at, kib in after))
    return run


def test_memory_that_comes_back_in_pieces_after_a_small_death_is_no_huge_consumption() -> None:
    """As it happened: 20.9 to 20.3 MB within 3 ms was taken for 213 MB/s, and seven more had to die."""
    run = pieces((3, 20_300))
    assert run.state.forecast.rate_kib_s == 0
    assert len(run.kills) == 1
    run.feed(with_headroom(1036, 20_900), with_headroom(1040, 20_250), with_headroom(1060, 20_800))
    run.feed(*(with_headroom(1070 + at, 20_300) for at in range(0, 2000, 50)))
    assert len(run.kills) == 1


@given(st.lists(st.tuples(st.floats(0, 39.9), st.integers(-3000, 3000)), max_size=12))
def test_within_the_first_moments_after_a_death_no_forecast_kills(moves: list[tuple[float, int]]) -> None:
    run = pieces(*((at, 20_900 + move) for at, move in sorted(moves)))
    assert run.state.forecast.rate_kib_s == 0
    assert len(run.kills) == 1


def test_a_headroom_below_its_floor_is_acted_on_at_once_even_so() -> None:
    run = pieces()
    assert len(kills_in(run.feed(with_headroom(1033, LOW_KIB)))) == 1
