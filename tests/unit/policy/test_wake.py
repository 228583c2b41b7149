"""When to look again: every ten seconds when idle, every few milliseconds when the forecast is short."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.model import Wake
from lmkd.policy.forecast import Forecast
from lmkd.policy.headroom import Headroom
from lmkd.policy.pressure import LEVELS
from lmkd.policy.wake import (
    AFTER_BLIND_MS,
    AFTER_MIN_MS,
    AFTER_SEEN_MS,
    FLIGHT_MS,
    LOOK_MIN_MS,
    LOOKS,
    PERIOD_MAX_KIB,
    PERIOD_MIN_KIB,
    RECLAIM_MS,
    next_wake,
)
from lmkd.values import replace
from tests.unit.policy.builders import FLOOR_KIB, SETTINGS, make_settings

PAGE_KIB = SETTINGS.page_kib
FAULTS_MIN, FAULTS_MAX = PERIOD_MIN_KIB // PAGE_KIB, PERIOD_MAX_KIB // PAGE_KIB


def wake(total_kib: int = 200_000, rate: float = 0.0, level: str = "calm", flying: bool = False, **room: Any) -> Wake:
    """The next look with this headroom, free memory unless said otherwise."""
    made = replace(Headroom(total_kib, 0, 0, total_kib, 50_000), **room)
    return next_wake(SETTINGS, level, made, Forecast((), rate, rate), flying)


def test_idle_is_one_look_in_ten_seconds() -> None:
    assert wake().after_ms == 10_000


def test_the_idle_interval_can_be_set() -> None:
    settings = make_settings(idle_interval_ms=3000)
    assert next_wake(settings, "calm", Headroom(200_000, 0, 0, 200_000), Forecast(), False).after_ms == 3000


@pytest.mark.parametrize("level", LEVELS)
def test_without_the_fault_meter_the_timer_is_shorter_and_no_faults_are_asked_for(level: str) -> None:
    blind = next_wake(make_settings(fault_meter=False), level, Headroom(99_000, 0, 0, 99_000), Forecast(), False)
    assert blind == Wake(AFTER_BLIND_MS[level], 0)
    assert wake(99_000, level=level).after_ms == AFTER_SEEN_MS[level] >= blind.after_ms


def test_the_distance_to_the_next_decision_is_looked_at_four_times() -> None:
    at_100_mb_s = FLOOR_KIB + 9900 + 40_000
    assert wake(at_100_mb_s, 100_000.0).after_ms == pytest.approx(100.0)


def test_the_wake_never_comes_sooner_than_five_milliseconds() -> None:
    assert wake(0, 100_000.0, "critical").after_ms == AFTER_MIN_MS


def test_a_store_that_alone_takes_the_growth_is_watched_as_fast_as_it_can_fill() -> None:
    only_store: dict[str, Any] = {"free_kib": 0, "store_left_kib": 4096}
    assert wake(200_000, 1.0, **only_store).after_ms == pytest.approx(10.0)
    assert wake(200_000, 0.0, **only_store).after_ms == 10_000
    assert wake(200_000, 1.0, free_kib=FLOOR_KIB + 1, store_left_kib=4096).after_ms == 10_000


@pytest.mark.parametrize(("free_kib", "after_ms"), [(0, AFTER_SEEN_MS["low"]), (-1, RECLAIM_MS)])
def test_a_kernel_that_reclaims_as_fast_as_it_can_is_looked_at_often(free_kib: int, after_ms: float) -> None:
    """What fills the memory may be read from files: no fault tells of that, and PSI not at once."""
    assert wake(90_000, level="low", free_kib=free_kib, cache_kib=90_000).after_ms == after_ms


def test_a_kill_in_flight_is_looked_at_soon() -> None:
    assert wake(flying=True).after_ms == FLIGHT_MS


@pytest.mark.parametrize(("total", "faults"), [(10**7, FAULTS_MAX), (0, FAULTS_MIN), (-(10**6), FAULTS_MIN)])
def test_the_fault_period_stays_within_its_bounds(total: int, faults: int) -> None:
    assert wake(total).faults == faults


@pytest.mark.parametrize("total", range(FLOOR_KIB, 200_000, 3777))
def test_the_fault_period_is_a_power_of_two_below_a_quarter_of_the_distance(total: int) -> None:
    faults = wake(total).faults
    assert faults & (faults - 1) == 0
    assert faults == FAULTS_MIN or faults * 4 * 4 <= total - FLOOR_KIB


@pytest.mark.parametrize("page_kib", [16, 64])
@pytest.mark.parametrize("total", [0, FLOOR_KIB + 30_000, 10**7])
def test_larger_pages_are_fewer_faults_for_the_same_memory(page_kib: int, total: int) -> None:
    """64-bit ARM kernels have pages of 4, 16 or 64 KiB: a fault brings a whole one."""
    larger = next_wake(make_settings(page_kib=page_kib), "calm", Headroom(total, 0, 0, total), Forecast(), False)
    assert larger.faults * page_kib == wake(total).faults * PAGE_KIB


# --- the pace of looking


def distance_of(total_kib: int, rate: float) -> float:
    """What may still be used before a decision, at this rate."""
    return total_kib - FLOOR_KIB - rate * SETTINGS.kill_horizon_ms / 1000


def test_a_fast_growth_far_from_a_decision_is_not_looked_at_oftener_than_pays() -> None:
    # 300 MB/s, 40 MB from a decision: a fourth of that would be 33 ms, so its own pace counts.
    rate, total = 300_000.0, FLOOR_KIB + 29_700 + 40_000
    assert distance_of(total, rate) == 40_000
    assert wake(total, rate).faults == 2048
    nearer = wake(total - 30_000, rate)
    assert nearer.faults * PAGE_KIB <= 10_000 / 2


@given(st.integers(0, 240_000), st.floats(0, 1_000_000), st.integers(0, 240_000), st.booleans())
def test_a_period_lasts_its_time_at_the_present_rate_unless_the_decision_is_nearer(
    total: int, rate: float, ready: int, trims: bool
) -> None:
    room = Headroom(min(ready, total), 0, max(0, total - ready), total, 50_000)
    made = next_wake(make_settings(trim=trims), "low", room, Forecast((), rate, rate), False)
    least = min(rate * LOOK_MIN_MS / 1000, distance_of(total, rate) / 2) / PAGE_KIB
    # Rounded down to a power of two, it is more than half of what was wanted.
    assert made.faults == FAULTS_MAX or made.faults * 2 > least - 1
    assert made.faults == FAULTS_MIN or made.faults * PAGE_KIB <= distance_of(total, rate) / 2


def test_trimming_begins_in_time_where_it_comes_before_the_decision() -> None:
    ready = SETTINGS.trim_free_kib + 16_384
    stored: dict[str, Any] = {"free_kib": ready, "store_kib": 200_000 - ready}
    assert wake(**stored).faults == 16_384 // PAGE_KIB // LOOKS
    far = next_wake(make_settings(trim=False), "calm", Headroom(ready, 0, 200_000 - ready, 200_000), Forecast(), False)
    assert far.faults == FAULTS_MAX


def test_below_the_trim_threshold_only_the_decision_counts() -> None:
    below: dict[str, Any] = {"free_kib": SETTINGS.trim_free_kib, "store_kib": 200_000 - SETTINGS.trim_free_kib}
    assert wake(**below).faults == FAULTS_MAX
