"""Pressure: one level for all, and a reason to kill only when the forecast or a stall in scarcity gives it."""

from __future__ import annotations

from typing import Any

import pytest

from lmkd.model import Sample
from lmkd.policy.forecast import Forecast
from lmkd.policy.headroom import Headroom
from lmkd.policy.pressure import (
    CRITICAL_MS,
    MODERATE_MS,
    UNSURE_MS,
    VAIN_S,
    Pressure,
    Signs,
    Stall,
    judge,
    measure_stall,
)
from lmkd.values import replace
from tests.unit.policy.builders import FLOOR_KIB, RAM_KIB, SETTINGS, make_sample, make_store

WINDOW_MS = SETTINGS.stall_window_ms
QUIET = Stall()
STALLED = Stall(0.0, 0, 0, 0, 50.0, 40.0, 900.0)


def room(total_kib: int, **changes: Any) -> Headroom:
    """Headroom that is all free memory unless said otherwise."""
    return replace(Headroom(total_kib, 0, 0, total_kib, 50_000), **changes)


def pressure(
    total_kib: int,
    rate: float = 0.0,
    stall: Stall = QUIET,
    lasts_ms: float | None = None,
    previous: str = "calm",
    **changes: Any,
) -> Pressure:
    """The judgement of this headroom."""
    forecast = Forecast((), rate, rate)
    return judge(SETTINGS, Signs(room(total_kib, **changes), forecast, stall, lasts_ms), previous)


def pct(percent: float) -> int:
    """Headroom of so many percent of RAM above the floor."""
    return FLOOR_KIB + int(RAM_KIB * percent / 100) + 1


@pytest.mark.parametrize(
    ("total", "level"), [(pct(31), "calm"), (pct(29), "low"), (pct(14), "moderate"), (FLOOR_KIB, "critical")]
)
def test_the_level_is_the_headroom_above_the_floor(total: int, level: str) -> None:
    assert pressure(total).level == level


@pytest.mark.parametrize(
    ("previous", "total", "level"),
    [
        ("low", 32, "low"),
        ("low", 34, "calm"),
        ("low", 17, "low"),
        ("moderate", 17, "moderate"),
        ("moderate", 19, "low"),
        ("critical", 17, "moderate"),
        ("critical", 32, "low"),
        ("calm", 32, "calm"),
    ],
)
def test_a_level_is_left_later_than_it_is_entered(previous: str, total: int, level: str) -> None:
    assert pressure(pct(total), previous=previous).level == level


def rate_for(left_kib: int, ms: float) -> float:
    """At which rate so much headroom above the floor brings a kill in so many ms."""
    return left_kib * 1000 / (ms + SETTINGS.kill_horizon_ms)


@pytest.mark.parametrize("percent", [16, 20, 28])
@pytest.mark.parametrize(
    ("ahead_ms", "level"),
    [
        (CRITICAL_MS - 1, "critical"),
        (CRITICAL_MS + 1, "moderate"),
        (MODERATE_MS - 1, "moderate"),
        (MODERATE_MS + 1, "low"),
    ],
)
def test_who_is_told_has_time_before_somebody_dies_however_fast_it_goes(
    percent: int, ahead_ms: float, level: str
) -> None:
    judged = pressure(pct(percent), rate_for(pct(percent) - FLOOR_KIB, ahead_ms))
    assert (judged.level, judged.reason) == (level, "")
    assert judged.why.startswith("headroom below" if level == "low" else "forecast: memory is used up in less than")


def test_a_forecast_that_calls_for_a_level_is_left_later_than_it_is_entered() -> None:
    left = pct(20) - FLOOR_KIB
    for level, ahead_ms, below in (("critical", CRITICAL_MS, "moderate"), ("moderate", MODERATE_MS, "low")):
        assert pressure(pct(20), rate_for(left, 2 * ahead_ms - 9), previous=level).level == level
        assert pressure(pct(20), rate_for(left, 2 * ahead_ms + 9), previous=level).level == below
        assert pressure(pct(20), rate_for(left, 2 * ahead_ms - 9), previous="calm").level == below


def test_with_most_memory_left_no_rate_calls_for_a_level() -> None:
    assert pressure(pct(31), rate_for(pct(31) - FLOOR_KIB, 10)).level == "calm"


@pytest.mark.parametrize(("percent", "below"), [(40, "calm"), (20, "low")])
def test_with_nothing_left_but_the_store_who_can_give_back_is_told_earlier(percent: int, below: str) -> None:
    rate = rate_for(pct(percent) - FLOOR_KIB, UNSURE_MS - 1)
    store: dict[str, Any] = {"free_kib": -5, "cache_kib": 2 * FLOOR_KIB + 5, "store_kib": pct(percent) - FLOOR_KIB}
    assert pressure(pct(percent), rate, **store).level == "moderate"
    assert pressure(pct(percent), rate, **store).shortage == below, "nothing is deleted or stopped for it yet"
    assert pressure(pct(percent), rate_for(pct(percent) - FLOOR_KIB, UNSURE_MS + 1), **store).level == below
    assert pressure(pct(percent), rate, **{**store, "free_kib": -4}).level == below, "something else is left"
    assert pressure(pct(percent), 0.0, **store).level == below, "nothing grows"
    for free, level in ((2 * FLOOR_KIB - 5, "moderate"), (2 * FLOOR_KIB - 4, below)):
        changes = {**store, "free_kib": free}
        assert pressure(pct(percent), rate, previous="moderate", **changes).level == level, "it is left later"


def test_a_burst_calls_for_no_level() -> None:
    burst = Forecast((), rate_for(pct(20) - FLOOR_KIB, 10), 100.0)
    assert judge(SETTINGS, Signs(room(pct(20)), burst, QUIET, None), "calm").level == "low"


@pytest.mark.parametrize(("ahead_ms", "level"), [(CRITICAL_MS, "critical"), (UNSURE_MS, "moderate")])
def test_a_store_that_fills_is_told_ahead(ahead_ms: float, level: str) -> None:
    ends_ms = ahead_ms + 2 * SETTINGS.kill_horizon_ms
    judged = pressure(pct(40), lasts_ms=ends_ms, free_kib=FLOOR_KIB)
    assert (judged.level, judged.reason) == (level, "") and "the store is used up" in judged.why
    assert pressure(pct(40), lasts_ms=ends_ms, free_kib=2 * FLOOR_KIB + 1).level == "calm", "with memory that is free"
    fails = Signs(room(pct(40)), Forecast(), QUIET, None, store_fails_ms=min(ends_ms, MODERATE_MS))
    assert judge(SETTINGS, fails, "calm").level == level
    assert judge(SETTINGS, replace(fails, store_fails_ms=2 * MODERATE_MS), "calm").level == "calm"


@pytest.mark.parametrize(("free", "own_pct", "level"), [(0, 60, "moderate"), (1, 60, "calm"), (0, 59, "calm")])
def test_where_a_stall_would_be_a_reason_that_is_told_ahead(free: int, own_pct: int, level: str) -> None:
    signs = Signs(room(pct(40), free_kib=free), Forecast(), QUIET, None, own_pct)
    judged = judge(SETTINGS, signs, "calm")
    assert (judged.level, judged.reason) == (level, "")
    stalled = judge(SETTINGS, replace(signs, stall=STALLED), "calm")
    assert (stalled.level == "critical") == (level == "moderate")


def test_nothing_dies_with_room_and_no_consumption() -> None:
    assert pressure(FLOOR_KIB + 1).reason == ""


def test_headroom_at_the_floor_is_a_reason() -> None:
    assert pressure(FLOOR_KIB).reason == "headroom below its floor"


@pytest.mark.parametrize(("rate", "kills"), [(100_000, True), (90_000, False)])
def test_exhaustion_within_the_horizon_is_a_reason(rate: float, kills: bool) -> None:
    judged = pressure(FLOOR_KIB + 9900, rate)
    assert bool(judged.reason) == kills == (judged.exhaustion_ms <= SETTINGS.kill_horizon_ms)


@pytest.mark.parametrize(("lasts", "kills"), [(198.0, True), (199.0, False), (None, False)])
def test_a_store_about_to_fill_is_a_reason_when_nothing_else_is_left(lasts: float | None, kills: bool) -> None:
    assert bool(pressure(pct(20), lasts_ms=lasts, free_kib=FLOOR_KIB).reason) == kills


def test_a_store_about_to_fill_is_no_reason_with_memory_free() -> None:
    assert pressure(pct(20), lasts_ms=1.0, free_kib=FLOOR_KIB + 1).reason == ""
    assert pressure(pct(20), lasts_ms=1.0, free_kib=0, cache_kib=FLOOR_KIB + 1).reason == ""


def test_a_stall_in_scarcity_is_a_reason() -> None:
    assert pressure(pct(10), stall=STALLED, free_kib=0).reason.startswith("stall")


@pytest.mark.parametrize(
    ("total", "free", "stall"),
    [
        (pct(16), 0, STALLED),
        (pct(10), 1, STALLED),
        (pct(10), 0, replace(STALLED, full_pct=6.6)),
        (pct(10), 0, replace(STALLED, refaults_s=0.0)),
    ],
    ids=("room", "free memory", "within the budget", "no refaults"),
)
def test_a_stall_is_no_reason_with(total: int, free: int, stall: Stall) -> None:
    assert pressure(total, stall=stall, free_kib=free).reason == ""


IN_VAIN = replace(QUIET, full_pct=40.0, refused_s=VAIN_S)


@pytest.mark.parametrize(
    ("total", "free", "stall", "kills"),
    [
        (pct(20), -1, IN_VAIN, True),
        (pct(20), -1, replace(IN_VAIN, refused_s=VAIN_S - 1), False),
        (pct(20), -1, replace(IN_VAIN, full_pct=1.0), False),
        (pct(20), 1, IN_VAIN, False),
    ],
)
def test_a_kernel_that_reclaims_in_vain_is_a_reason_though_the_store_has_room(
    total: int, free: int, stall: Stall, kills: bool
) -> None:
    assert ("in vain" in pressure(total, stall=stall, free_kib=free, store_kib=total).reason) is kills


@pytest.mark.parametrize(
    ("cache_pct", "store_kib", "kills"),
    [(5, 0, True), (5, FLOOR_KIB + 1, False), (20, 0, False)],
    ids=("nothing gained", "the store gives room", "much cache"),
)
def test_cache_is_no_room_where_the_kernel_stores_what_does_not_compress(
    cache_pct: int, store_kib: int, kills: bool
) -> None:
    cache = pct(cache_pct)
    found = pressure(cache + store_kib, stall=IN_VAIN, free_kib=-1, cache_kib=cache, store_kib=store_kib)
    assert ("does not compress" in found.reason) is kills


def test_what_zram_keeps_as_it_is_counts_like_what_zswap_refuses() -> None:
    kept = [replace(psi(t_ms, 0, 0), store=make_store(huge_kib=huge)) for t_ms, huge in ((1000, 400), (1500, 6400))]
    opened = measure_stall(Stall(), kept[0], 500)
    assert measure_stall(opened, kept[1], 500).refused_s == 3000.0
    assert measure_stall(opened, replace(kept[1], store=make_store(huge_kib=0)), 500).refused_s == 0.0


def test_what_the_store_refuses_is_counted_over_the_window() -> None:
    opened = measure_stall(Stall(), replace(psi(1000, 0, 0), refused=100), 500)
    closed = measure_stall(opened, replace(psi(1500, 9, 9), refused=1600), 500)
    assert closed.refused_s == 3000.0
    assert measure_stall(closed, replace(psi(2000, 9, 9), refused=None), 500).refused_s == 0.0


def test_the_deficit_covers_half_a_floor_more_and_two_horizons_of_steady_consumption() -> None:
    assert pressure(0).deficit_kib == FLOOR_KIB + FLOOR_KIB // 2
    assert pressure(0, 10_000).deficit_kib == FLOOR_KIB + FLOOR_KIB // 2 + 2 * 990


def test_the_deficit_leaves_bursts_out() -> None:
    burst = judge(SETTINGS, Signs(room(0), Forecast((), 300_000.0, 1000.0), Stall(), None), "calm")
    assert burst.deficit_kib == FLOOR_KIB + FLOOR_KIB // 2 + 2 * 99


def test_what_must_die_returns_a_floor_at_least_and_without_a_reason_nothing_must() -> None:
    assert pressure(pct(10), stall=STALLED, free_kib=0).deficit_kib == FLOOR_KIB
    assert pressure(pct(10)).deficit_kib == 0


def psi(t_ms: float, some_us: int | None, full_us: int | None, refault: int | None = 0) -> Sample:
    """A sample with these counters."""
    return make_sample(t_ms, some_us=some_us, full_us=full_us, refault_anon=refault, refault_file=0)


def test_a_stall_window_is_closed_when_it_is_full() -> None:
    opened = measure_stall(Stall(), psi(1000, 0, 0), WINDOW_MS)
    assert measure_stall(opened, psi(1499, 9, 9), 500) == opened
    closed = measure_stall(opened, psi(1500, 100_000, 50_000, 10), 500)
    assert (closed.some_pct, closed.full_pct, closed.refaults_s) == (20.0, 10.0, 20.0)
    assert (closed.since_ms, closed.some_us, closed.full_us, closed.refaults) == (1500, 100_000, 50_000, 10)


def test_a_stall_window_left_open_long_is_thrown_away() -> None:
    opened = measure_stall(Stall(), psi(0, 0, 0), WINDOW_MS)
    assert measure_stall(opened, psi(10 * WINDOW_MS + 1, 9**6, 9**6), WINDOW_MS).full_pct == 0


@pytest.mark.parametrize("missing", [psi(1500, None, 5), psi(1500, 5, None)])
def test_without_psi_the_stall_stays_as_it_is(missing: Sample) -> None:
    assert measure_stall(STALLED, missing, WINDOW_MS) == STALLED


@pytest.mark.parametrize(("first", "second"), [(None, 10**9), (10**9, None), (None, None)])
def test_refaults_unknown_at_one_end_of_the_window_are_no_refaults(first: int | None, second: int | None) -> None:
    unread = {"refault_file": None}
    opened = measure_stall(Stall(), replace(psi(0, 0, 0, first), **unread), WINDOW_MS)
    closed = measure_stall(opened, replace(psi(500, 9, 9, second), **unread), WINDOW_MS)
    assert closed.refaults_s == 0
