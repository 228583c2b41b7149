"""The store's limit follows need: before writes fail, only where it pays, back again, and with few writes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.model import Limit, Note, Sample, Settings
from lmkd.policy.governor import (
    HUGE_STEP_KIB,
    LOWER_EVERY_MS,
    RAISE_EVERY_MS,
    Governor,
    govern,
    margin_kib,
    reach_kib,
    whole_kib,
)
from lmkd.policy.headroom import StoreRatio, headroom, measure_ratio
from lmkd.values import replace
from tests.unit.policy.builders import SETTINGS, make_sample, make_store

NORMAL = whole_kib(SETTINGS.store_limit_kib)
MOST = whole_kib(SETTINGS.store_limit_max_kib)
MARGIN = margin_kib(SETTINGS)
RATIOS = st.floats(1.0, 6.0)
LIMITS = st.integers(NORMAL // 64, MOST // 64).map(lambda count: count * 64)
USED = st.integers(0, MOST)


def sample_of(used_kib: int, limit_kib: int, t_ms: float = 0.0, **changes: object) -> Sample:
    """A board whose own store takes so much, at this limit."""
    store = make_store(
        orig_kib=2 * used_kib, compressed_kib=used_kib, used_kib=used_kib, limit_kib=limit_kib,
        own_used_kib=used_kib, own_limit_kib=limit_kib, **changes,
    )  # fmt: skip
    return make_sample(t_ms, store=store)


def asked(
    used_kib: int, limit_kib: int, ratio: float, level: str = "calm", settings: Settings = SETTINGS, fills: float = 0.0
) -> int | None:
    """The limit that is asked for, None for none."""
    measured = StoreRatio(ratio, fills_kib_s=fills)
    _, actions = govern(Governor(), sample_of(used_kib, limit_kib), settings, measured, ratio, level)
    return next((action.kib for action in actions if isinstance(action, Limit)), None)


def test_it_is_raised_before_writes_would_fail() -> None:
    assert asked(NORMAL - MARGIN - 1, NORMAL, 3.0) is None
    raised = asked(NORMAL - MARGIN + 1, NORMAL, 3.0)
    assert raised is not None and raised - (NORMAL - MARGIN + 1) >= 2 * MARGIN


def test_a_store_that_fills_fast_is_given_more_at_once() -> None:
    slow, fast = asked(NORMAL - 4096, NORMAL, 3.0), asked(NORMAL - 4096, NORMAL, 3.0, fills=100_000.0)
    assert slow is not None and fast is not None and fast > slow


@pytest.mark.parametrize("ratio", [1.0, 1.1, 1.25])
def test_where_storing_gives_nothing_back_nothing_is_raised(ratio: float) -> None:
    assert asked(NORMAL, NORMAL, ratio, "critical") is None


def test_how_far_it_may_go_follows_from_the_ratio() -> None:
    store = sample_of(0, NORMAL).store
    assert store is not None
    reached = [reach_kib(store, SETTINGS, ratio) for ratio in (1.0, 1.25, 1.5, 2.0, 6.0)]
    assert reached[:2] == [NORMAL, NORMAL] and reached[3:] == [MOST, MOST]
    assert NORMAL < reached[2] < MOST


def test_it_is_lowered_again_when_the_store_has_emptied_and_only_in_calm() -> None:
    assert asked(1000, MOST, 3.0) == NORMAL
    assert asked(1000, MOST, 3.0, "low") is None


def test_a_foreign_store_or_one_without_a_limit_is_left_alone() -> None:
    sample = make_sample(store=make_store(used_kib=NORMAL, limit_kib=NORMAL))
    assert govern(Governor(), sample, SETTINGS, StoreRatio(), 3.0, "critical") == (Governor(), ())
    assert govern(Governor(), replace(sample, store=None), SETTINGS, StoreRatio(), 3.0, "calm") == (Governor(), ())


def test_the_same_maximum_as_limit_turns_it_off() -> None:
    assert asked(NORMAL, NORMAL, 3.0, settings=replace(SETTINGS, store_limit_max_kib=NORMAL)) is None


def test_one_that_could_not_be_set_is_asked_for_less_and_less_often() -> None:
    governor, times = Governor(), []
    for t_ms in range(0, 20_000, 10):
        sample = sample_of(NORMAL, NORMAL, float(t_ms))
        governor, actions = govern(governor, sample, SETTINGS, StoreRatio(3.0), 3.0, "low")
        times += [t_ms] * len(actions)
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[0] == RAISE_EVERY_MS
    assert pauses == sorted(pauses) and len(times) < 12


def test_that_most_of_what_goes_in_does_not_compress_is_told_once() -> None:
    governor, notes = Governor(), []
    for step in range(8):
        orig = step * HUGE_STEP_KIB
        store = make_store(orig_kib=orig, used_kib=orig, huge_kib=orig * 3 // 4, own_limit_kib=NORMAL)
        sample = make_sample(step * 1000.0, store=store)
        governor, actions = govern(governor, sample, SETTINGS, StoreRatio(1.2), 1.2, "low")
        notes += [(step, dict(action.fields)) for action in actions if isinstance(action, Note)]
    assert [(step, fields["most"], fields["huge_pct"]) for step, fields in notes] == [(1, True, 75)]


def test_a_store_that_is_filled_with_such_pages_is_not_given_more() -> None:
    state, ratios, limits = Governor(), StoreRatio(), []
    for step in range(40):
        # Seven of ten pages do not compress, the others to a third: a marginal ratio of 1.25.
        orig = step * 2048
        used = min(NORMAL, orig * 8 // 10)
        store = make_store(
            orig_kib=orig, used_kib=used, limit_kib=NORMAL, huge_kib=orig * 7 // 10, own_used_kib=used,
            own_limit_kib=NORMAL,
        )  # fmt: skip
        sample = make_sample(step * 100.0, store=store)
        ratios = measure_ratio(ratios, sample)
        state, actions = govern(state, sample, SETTINGS, ratios, ratios.ratio, "low")
        limits += [action for action in actions if isinstance(action, Limit)]
    assert limits == []


def test_the_end_of_it_is_told_too() -> None:
    governor, notes = Governor(), []
    for step, huge in enumerate((0, 4096, 5600, 5600)):
        store = make_store(orig_kib=step * HUGE_STEP_KIB, huge_kib=huge, own_limit_kib=NORMAL)
        governor, actions = govern(governor, make_sample(store=store), SETTINGS, StoreRatio(3.0), 3.0, "low")
        notes += [dict(action.fields)["most"] for action in actions if isinstance(action, Note)]
    assert notes == [True, False], "37 percent of it are neither"


@given(used=USED, limit=LIMITS, ratio=RATIOS, level=st.sampled_from(("calm", "low", "moderate", "critical")))
def test_whatever_is_asked_for_lies_between_the_limit_and_its_maximum(
    used: int, limit: int, ratio: float, level: str
) -> None:
    kib = asked(used, limit, ratio, level)
    if kib is None:
        return
    assert NORMAL <= kib <= MOST and kib % 64 == 0
    if kib > limit:
        assert ratio > 1.25
    else:
        assert level == "calm"
        assert kib >= used + MARGIN, "lowering never makes a write fail"


@given(used=USED, limit=LIMITS, ratio=RATIOS, fills=st.floats(0, 200_000))
def test_what_was_asked_for_is_enough_and_is_not_taken_back(used: int, limit: int, ratio: float, fills: float) -> None:
    kib = asked(used, limit, ratio, fills=fills)
    if kib is not None:
        assert asked(used, kib, ratio, fills=fills) is None


@given(ratio=st.floats(2.0, 6.0), used=st.integers(0, MOST - 3 * MARGIN), limit=LIMITS)
def test_where_it_pays_there_is_room_after_every_look(ratio: float, used: int, limit: int) -> None:
    after = asked(used, max(limit, used), ratio, "critical") or max(limit, used)
    assert after - used >= MARGIN


@given(steps=st.lists(st.integers(-MARGIN // 2, MARGIN // 2), max_size=60), start=st.integers(NORMAL, MOST - MARGIN))
def test_a_store_that_comes_and_goes_by_little_is_left_alone(steps: list[int], start: int) -> None:
    governor, limit, writes = Governor(), MOST, 0
    for index, step in enumerate(steps):
        sample = sample_of(start + step, limit, index * 2 * LOWER_EVERY_MS)
        governor, actions = govern(governor, sample, SETTINGS, StoreRatio(3.0), 3.0, "calm")
        for action in actions:
            if isinstance(action, Limit):
                limit, writes = action.kib, writes + 1
    assert writes <= 2


@given(rises=st.lists(st.integers(0, 4096), min_size=1, max_size=80), ratio=RATIOS)
def test_filling_it_from_empty_takes_few_writes(rises: list[int], ratio: float) -> None:
    governor, limit, used, writes = Governor(), NORMAL, 0, 0
    for index, rise in enumerate(rises):
        used = min(limit, used + rise)
        governor, actions = govern(
            governor, sample_of(used, limit, index * 100.0), SETTINGS, StoreRatio(ratio), ratio, "low"
        )
        for action in actions:
            if isinstance(action, Limit):
                limit, writes = action.kib, writes + 1
    assert writes <= (MOST - NORMAL) // MARGIN + 2


@given(used=USED, limit=LIMITS, ratio=RATIOS, anon=st.integers(0, 400_000))
def test_the_headroom_counts_what_the_governor_would_give_and_no_more(
    used: int, limit: int, ratio: float, anon: int
) -> None:
    sample = replace(sample_of(used, limit), anon_kib=anon, swap_total_kib=600_000, swap_free_kib=600_000)
    with_it = headroom(sample, SETTINGS, ratio)
    fixed = headroom(sample, replace(SETTINGS, store_limit_max_kib=0), ratio)
    at_most = headroom(sample_at(sample, reach_kib(sample.store, SETTINGS, ratio)), SETTINGS, ratio)  # type: ignore[arg-type]
    assert fixed.store_kib <= with_it.store_kib == at_most.store_kib
    if ratio <= 1.25:
        assert with_it.store_kib == fixed.store_kib


def sample_at(sample: Sample, limit_kib: int) -> Sample:
    """The sample with another limit."""
    assert sample.store is not None
    return replace(sample, store=replace(sample.store, limit_kib=limit_kib, own_limit_kib=limit_kib))
