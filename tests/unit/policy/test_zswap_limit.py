"""zswap's pool limit is never reached: past it the kernel reclaims in vain, whatever cache there is."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from lmkd.model import StoreSample
from lmkd.policy.forecast import Forecast
from lmkd.policy.headroom import Headroom, StoreRatio, headroom, store_fails_ms
from lmkd.policy.pressure import Signs, Stall, judge
from lmkd.policy.wake import LOOKS, STORE_FILLS_KIB_S, next_wake
from lmkd.values import replace
from tests.unit.policy.builders import FLOOR_KIB, SETTINGS, make_sample, make_store
from tests.unit.policy.simulated import AppSpec, BoardSpec, run

ROOM = Headroom(1000, 50_000, 0, 51_000)
FULL_KIB = 80_000
STORES_KIB_S = 200 * 1024
"""Twice what a core of this class can compress; the simulated one compresses without taking time."""


@given(
    rate=st.sampled_from((2_000, 5_000, 30_000, 60_000, 100_000)),
    ratio=st.floats(1.1, 4.0),
    idle=st.lists(st.integers(2_000, 20_000), max_size=8),
    cache_kib=st.sampled_from((8_000, 30_000, 80_000)),
    exit_ms=st.sampled_from((1.0, 10.0, 60.0)),
)
@effort(max_examples=60)
def test_somebody_is_ended_before_the_pool_is_full(
    rate: int, ratio: float, idle: list[int], cache_kib: int, exit_ms: float
) -> None:
    assume(rate / (1 - 1 / ratio) <= STORES_KIB_S)
    apps = (
        *(AppSpec(size, ratio=ratio, exit_ms=exit_ms) for size in idle),
        AppSpec(10_000, 200, growth_kib_s=rate, ratio=ratio, exit_ms=exit_ms),
    )
    turns, board = run(BoardSpec(apps, cache_kib, zswap=True), duration_ms=20_000.0)
    fullest = max(turn.sample.store.used_kib for turn in turns if turn.sample.store is not None)
    assert fullest < board.full_kib
    assert board.used_kib < board.full_kib


@pytest.mark.parametrize(
    ("used_kib", "fills_kib_s", "free_kib", "expected"),
    [
        (FULL_KIB - 10_000, 20_000.0, 5000, 500.0),
        (FULL_KIB - 10_000, 0.0, -5, None),
        (FULL_KIB, 0.0, -5, 0.0),
        (FULL_KIB + 7, 90.0, 5000, None),
    ],
)
def test_how_long_the_pool_lasts(used_kib: int, fills_kib_s: float, free_kib: int, expected: float | None) -> None:
    sample = make_sample(store=make_store(used_kib=used_kib, full_kib=FULL_KIB))
    room = replace(headroom(sample, SETTINGS, 2.0), free_kib=free_kib)
    assert store_fails_ms(StoreRatio(fills_kib_s=fills_kib_s), room) == expected


@pytest.mark.parametrize("store", [None, StoreSample(0, 0, 0, 1)])
def test_a_store_without_such_a_limit_never_comes_to_it(store: StoreSample | None) -> None:
    room = headroom(make_sample(store=store), SETTINGS, 2.0)
    assert store_fails_ms(StoreRatio(fills_kib_s=1e9), room) is None


@pytest.mark.parametrize(("fails_ms", "kills"), [(None, False), (10_000.0, False), (100.0, True), (0.0, True)])
def test_a_pool_about_to_be_full_is_a_reason_however_much_cache_there_is(fails_ms: float | None, kills: bool) -> None:
    assert ROOM.cache_kib > 10 * FLOOR_KIB
    judged = judge(SETTINGS, Signs(ROOM, Forecast(), Stall(), None, 0, fails_ms), "calm")
    assert bool(judged.reason) is kills
    assert not kills or "pool" in judged.reason


def test_near_the_limit_the_pool_is_looked_at_as_often_as_a_core_could_fill_it() -> None:
    near = Headroom(0, 50_000, 0, 50_000, 0, pool_left_kib=STORE_FILLS_KIB_S // 10)
    forecast = Forecast((), 10.0, 10.0)
    assert next_wake(SETTINGS, "low", near, forecast, False).after_ms == pytest.approx(100.0 / LOOKS)
    for calmer in (replace(near, free_kib=FLOOR_KIB + 1), replace(near, pool_left_kib=None)):
        assert next_wake(SETTINGS, "low", calmer, forecast, False).after_ms > 1000.0
