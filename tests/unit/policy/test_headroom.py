"""Headroom counts what is really there, and the store's marginal ratio is measured, not assumed."""

from __future__ import annotations

import pytest

from lmkd.policy.headroom import (
    RATIO_DEFAULT,
    RATIO_FULL_KIB,
    RATIO_MAX,
    RATIO_MIN,
    RATIO_STEP_KIB,
    Headroom,
    StoreRatio,
    headroom,
    measure_ratio,
    store_lasts_ms,
)
from lmkd.values import replace
from tests.unit.policy.builders import LIMIT_KIB, SETTINGS, make_sample, make_store, storeless

ROOM = Headroom(0, 0, 0, 0)


def stored(t_ms: float, orig_kib: int, used_kib: int) -> StoreRatio:
    """A ratio measured at this state of the store."""
    return StoreRatio(2.0, orig_kib, used_kib, t_ms)


def test_free_memory_counts_above_the_low_watermark_only() -> None:
    room = headroom(storeless(free_kib=5000), SETTINGS, 2.0)
    assert (room.free_kib, room.total_kib) == (5000 - SETTINGS.watermark_low_kib,) * 2


def test_free_memory_below_the_watermark_is_a_debt() -> None:
    assert headroom(storeless(free_kib=100), SETTINGS, 2.0).total_kib == 100 - SETTINGS.watermark_low_kib


def test_clean_cache_counts_above_the_floor_and_dirty_cache_does_not() -> None:
    clean = headroom(storeless(file_kib=50_000), SETTINGS, 2.0)
    dirty = headroom(storeless(file_kib=50_000, dirty_kib=10_000), SETTINGS, 2.0)
    assert clean.cache_kib == 50_000 - SETTINGS.file_floor_kib
    assert clean.cache_kib - dirty.cache_kib == 10_000


def test_cache_below_its_floor_is_no_debt() -> None:
    assert headroom(storeless(file_kib=10), SETTINGS, 2.0).cache_kib == 0


@pytest.mark.parametrize(("ratio", "gain"), [(1.0, 0), (2.0, 5000), (4.0, 7500)])
def test_the_store_counts_net_of_the_ram_that_it_takes(ratio: float, gain: int) -> None:
    assert headroom(make_sample(swap_free_kib=10_000), SETTINGS, ratio).store_kib == gain


def test_a_store_at_its_limit_is_no_room_however_much_swap_is_free() -> None:
    full = make_sample(store=make_store(used_kib=LIMIT_KIB, orig_kib=2 * LIMIT_KIB))
    room = headroom(full, SETTINGS, 2.0)
    assert (room.store_kib, room.store_left_kib) == (0, 0)


def test_a_store_past_its_limit_is_no_debt() -> None:
    assert headroom(make_sample(store=make_store(used_kib=LIMIT_KIB + 99)), SETTINGS, 2.0).store_left_kib == 0


def test_what_the_store_may_take_is_its_budget_times_the_ratio() -> None:
    sample = make_sample(anon_kib=200_000, store=make_store(used_kib=LIMIT_KIB - 1000))
    assert headroom(sample, SETTINGS, 2.0).store_kib == 1000
    assert headroom(sample, SETTINGS, 4.0).store_kib == 3000


def test_without_a_limit_free_swap_bounds_the_store() -> None:
    sample = make_sample(swap_free_kib=8000, store=make_store(limit_kib=0, used_kib=9000))
    assert headroom(sample, SETTINGS, 2.0).store_kib == 4000


def test_no_more_can_be_stored_than_three_quarters_of_what_is_swappable() -> None:
    room = headroom(make_sample(anon_kib=6000, shmem_kib=2000), SETTINGS, 2.0)
    assert room.store_kib == 3000


def test_without_swap_the_store_is_no_room() -> None:
    assert headroom(storeless(), SETTINGS, 2.0).store_kib == 0


def test_the_first_look_at_the_store_measures_nothing() -> None:
    first = measure_ratio(StoreRatio(), make_sample(store=make_store(orig_kib=9000, used_kib=9000)))
    assert (first.ratio, first.orig_kib, first.used_kib) == (RATIO_DEFAULT, 9000, 9000)


def test_without_a_store_the_ratio_stays() -> None:
    assert measure_ratio(stored(0.0, 1, 1), storeless(50.0)) == stored(0.0, 1, 1)


def test_a_small_step_measures_nothing_yet() -> None:
    sample = make_sample(100.0, store=make_store(orig_kib=RATIO_STEP_KIB - 1, used_kib=10))
    assert measure_ratio(stored(0.0, 0, 0), sample) == stored(0.0, 0, 0)


def test_a_large_step_counts_in_full_and_a_small_one_in_part() -> None:
    large = make_sample(100.0, store=make_store(orig_kib=RATIO_FULL_KIB, used_kib=RATIO_FULL_KIB // 4))
    small = make_sample(100.0, store=make_store(orig_kib=RATIO_FULL_KIB // 3, used_kib=RATIO_FULL_KIB // 12))
    assert measure_ratio(stored(0.0, 0, 0), large).ratio == pytest.approx(4.0)
    assert measure_ratio(stored(0.0, 0, 0), small).ratio == pytest.approx(2.0 * 2 / 3 + 4.0 / 3)


@pytest.mark.parametrize(("used_kib", "ratio"), [(1, RATIO_MAX), (90_000, RATIO_MIN), (-500, RATIO_MAX)])
def test_the_ratio_stays_within_its_bounds(used_kib: int, ratio: float) -> None:
    sample = make_sample(100.0, store=make_store(orig_kib=40_000, used_kib=1000 + used_kib))
    assert measure_ratio(stored(0.0, 0, 1000), sample).ratio == ratio


def test_it_is_the_marginal_ratio_not_the_average_of_all() -> None:
    sample = make_sample(100.0, store=make_store(orig_kib=100_000 + RATIO_FULL_KIB, used_kib=20_000 + RATIO_FULL_KIB))
    assert measure_ratio(stored(0.0, 100_000, 20_000), sample).ratio == 1.0


def test_a_store_that_shrank_starts_the_measure_anew_and_keeps_the_ratio() -> None:
    shrunk = measure_ratio(stored(0.0, 9000, 4500), make_sample(100.0, store=make_store(orig_kib=5000, used_kib=100)))
    assert shrunk == stored(100.0, 5000, 100)


def test_a_store_that_fills_lasts_as_long_as_its_limit_allows() -> None:
    sample = make_sample(100.0, store=make_store(orig_kib=8000, used_kib=4000))
    measured = measure_ratio(stored(0.0, 0, 0), sample)
    assert measured.fills_kib_s == pytest.approx(40_000)
    assert store_lasts_ms(measured, ROOM, sample) == pytest.approx((LIMIT_KIB - 4000) / 40)


def test_a_store_that_stopped_filling_lasts_without_end() -> None:
    sample = make_sample(100.0, store=make_store(orig_kib=8000, used_kib=4000))
    filled = measure_ratio(stored(0.0, 0, 0), sample)
    later = measure_ratio(filled, make_sample(700.0, store=make_store(orig_kib=8100, used_kib=4050)))
    assert store_lasts_ms(later, ROOM, sample) is None
    assert later.ratio == filled.ratio


def test_a_pause_too_short_to_tell_does_not_make_it_last() -> None:
    filled = measure_ratio(stored(0.0, 0, 0), make_sample(100.0, store=make_store(orig_kib=8000, used_kib=4000)))
    assert measure_ratio(filled, make_sample(300.0, store=make_store(orig_kib=8000, used_kib=4000))) == filled


@pytest.mark.parametrize("sample", [storeless(), make_sample(store=make_store(limit_kib=0))])
def test_without_a_store_or_a_limit_nothing_fills(sample: object) -> None:
    assert store_lasts_ms(StoreRatio(2.0, 0, 0, 0.0, 99.0), ROOM, sample) is None  # type: ignore[arg-type]


def test_what_grows_and_does_not_compress_is_no_room() -> None:
    plain = make_sample(free_kib=8048, anon_kib=100_000, swap_total_kib=200_000, swap_free_kib=200_000)
    growing = replace(plain, grower_resident_kib=75_000)
    assert headroom(growing, SETTINGS, 3.0, 1.0).store_kib == 0
    assert headroom(plain, SETTINGS, 3.0).store_kib > 0


def test_what_the_helper_sampled_never_makes_room_that_the_store_did_not_show() -> None:
    growing = make_sample(
        free_kib=8048, anon_kib=100_000, swap_total_kib=200_000, swap_free_kib=200_000, grower_resident_kib=50_000
    )
    at_most = headroom(replace(growing, grower_resident_kib=0), SETTINGS, 2.0).store_kib
    assert headroom(growing, SETTINGS, 2.0, 4.0).store_kib <= at_most
