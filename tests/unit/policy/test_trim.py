"""Trimming: how much must go, who is next, who is left alone, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.model import FLAG_TRIM, Candidate
from lmkd.policy.headroom import Headroom
from lmkd.policy.trim import (
    ARM_FACTOR,
    REST_MAX_MS,
    REST_MS,
    STORE_RESERVE_PCT,
    WOKE_SHARE,
    WORTH_KIB,
    Rest,
    is_resting,
    pick,
    rest_after,
    short_kib,
)
from lmkd.values import replace
from tests.unit.policy.builders import LIMIT_KIB, SETTINGS, make_app, make_sample, make_settings

TRIM_KIB = SETTINGS.trim_free_kib
IDLE_MS = 1000.0
NOW_MS = 50_000.0


def room(ready_kib: int, **changes: Any) -> Headroom:
    """A board with this much free or in clean cache, and an empty store."""
    return replace(Headroom(ready_kib, 0, 40_000, ready_kib + 40_000, LIMIT_KIB), **changes)


def trimmable(pid: int, priority: int = 900, resident_kib: int = 8192, **changes: Any) -> Candidate:
    """An application that may be paged out."""
    return make_app(pid, priority, resident_kib, **{"flags": FLAG_TRIM} | changes)


def next_of(*rows: Candidate, idle: dict[int, float] | None = None, rests: dict[int, Rest] | None = None) -> int | None:
    """Who is next of these, all idle since the beginning unless said otherwise."""
    since = {row.pid: 0.0 for row in rows} if idle is None else idle
    picked = pick(rows, since, rests or {}, NOW_MS, IDLE_MS)
    return None if picked is None else picked.pid


# --- how much


@pytest.mark.parametrize(
    ("ready", "short"),
    [
        (ARM_FACTOR * TRIM_KIB, None),
        (ARM_FACTOR * TRIM_KIB - 1, 0),
        (TRIM_KIB, 0),
        (TRIM_KIB - 1, 1),
        (0, TRIM_KIB),
        (-5000, TRIM_KIB),
    ],
)
def test_what_is_short_is_what_misses_of_the_wanted_free_memory(ready: int, short: int | None) -> None:
    assert short_kib(SETTINGS, make_sample(), room(ready)) == short


def test_clean_cache_is_as_good_as_free_memory() -> None:
    assert short_kib(SETTINGS, make_sample(), room(1000, cache_kib=TRIM_KIB - 3000)) == 2000


def test_memory_below_the_watermark_does_not_count_against_the_cache() -> None:
    assert short_kib(SETTINGS, make_sample(), room(-9000, cache_kib=TRIM_KIB)) == 0


def test_nothing_is_trimmed_where_it_is_turned_off_or_nothing_can_be_stored() -> None:
    assert short_kib(make_settings(trim=False), make_sample(), room(0)) is None
    assert short_kib(SETTINGS, make_sample(swap_total_kib=0, swap_free_kib=0, store=None), room(0)) is None
    assert short_kib(SETTINGS, make_sample(), room(0, store_kib=0)) is None


def test_the_last_of_the_store_is_left_to_the_kernels_own_reclaim() -> None:
    reserve = LIMIT_KIB * STORE_RESERVE_PCT // 100
    assert short_kib(SETTINGS, make_sample(), room(0, store_left_kib=reserve)) is None
    assert short_kib(SETTINGS, make_sample(), room(0, store_left_kib=reserve + 1)) == TRIM_KIB


def test_swap_without_a_limit_is_trimmed_into_until_it_is_full() -> None:
    sample = make_sample(store=None)
    assert short_kib(SETTINGS, sample, room(0, store_left_kib=1)) == TRIM_KIB
    assert short_kib(SETTINGS, sample, room(0, store_left_kib=0)) is None


@given(st.integers(-50_000, 100_000), st.integers(0, 100_000), st.integers(0, LIMIT_KIB))
def test_what_is_short_is_never_negative_nor_more_than_wanted(free: int, cache: int, left: int) -> None:
    short = short_kib(SETTINGS, make_sample(), room(free, cache_kib=cache, store_left_kib=left))
    assert short is None or 0 <= short <= TRIM_KIB


# --- who


def test_the_least_important_is_next_then_the_largest() -> None:
    assert next_of(trimmable(1, 700, 90_000), trimmable(2, 900, 2000), trimmable(3, 900, 3000)) == 3


def test_who_may_not_be_trimmed_or_is_too_small_is_not_next() -> None:
    assert next_of(trimmable(1, flags=0), trimmable(2, resident_kib=WORTH_KIB - 1)) is None
    assert next_of(trimmable(3, resident_kib=WORTH_KIB)) == 3


def test_who_did_something_lately_or_was_never_looked_at_is_not_next() -> None:
    rows = trimmable(1), trimmable(2)
    assert next_of(*rows, idle={1: NOW_MS - IDLE_MS + 1}) is None
    assert next_of(*rows, idle={1: NOW_MS - IDLE_MS + 1, 2: NOW_MS - IDLE_MS}) == 2


def test_who_rests_is_passed_over_until_the_rest_is_over() -> None:
    row = trimmable(1)
    assert next_of(row, rests={1: Rest(row.start_ticks, 0, NOW_MS + 1)}) is None
    assert next_of(row, rests={1: Rest(row.start_ticks, 0, NOW_MS)}) == 1


def test_the_rest_of_a_process_is_not_that_of_another_with_its_pid() -> None:
    row = trimmable(1)
    assert not is_resting(Rest(row.start_ticks - 1, 0, NOW_MS + 1), row, NOW_MS)
    assert not is_resting(None, row, NOW_MS)


ROWS = st.lists(
    st.builds(
        trimmable,
        pid=st.integers(1, 12),
        priority=st.integers(0, 1000),
        resident_kib=st.integers(0, 20_000),
        flags=st.sampled_from((0, FLAG_TRIM)),
    ),
    max_size=12,
    unique_by=lambda row: row.pid,
)
IDLE = st.dictionaries(st.integers(1, 12), st.floats(0, NOW_MS))
RESTS = st.dictionaries(
    st.integers(1, 12), st.builds(Rest, st.integers(1000, 1012), st.just(0), st.floats(0, 2 * NOW_MS))
)


@given(ROWS, IDLE, RESTS)
def test_whoever_is_next_may_be_trimmed_is_idle_and_rested_and_nobody_less_important_is(
    rows: list[Candidate], idle: dict[int, float], rests: dict[int, Rest]
) -> None:
    fit = [
        row
        for row in rows
        if row.flags & FLAG_TRIM
        and row.resident_kib >= WORTH_KIB
        and NOW_MS - idle.get(row.pid, NOW_MS) >= IDLE_MS
        and not is_resting(rests.get(row.pid), row, NOW_MS)
    ]
    picked = pick(rows, idle, rests, NOW_MS, IDLE_MS)
    assert (picked is None) == (not fit)
    if picked is not None:
        assert picked in fit
        assert (picked.priority, picked.resident_kib) == max((row.priority, row.resident_kib) for row in fit)


# --- how long it is left alone


def test_the_first_rest_is_the_shortest() -> None:
    row = trimmable(1)
    assert rest_after(None, row, 7000, NOW_MS) == Rest(row.start_ticks, 7000, NOW_MS + REST_MS, REST_MS)


@pytest.mark.parametrize(
    ("swapped", "rest_ms"), [(8000, REST_MS), (8000 * (1 - WOKE_SHARE), REST_MS), (5999, 2 * REST_MS), (0, 2 * REST_MS)]
)
def test_who_took_its_pages_back_rests_twice_as_long(swapped: int, rest_ms: float) -> None:
    row = trimmable(1, swapped_kib=int(swapped))
    before = Rest(row.start_ticks, 8000, 0.0, REST_MS)
    assert rest_after(before, row, 8500, NOW_MS) == Rest(row.start_ticks, 8500, NOW_MS + rest_ms, rest_ms)


def test_another_process_of_the_pid_begins_with_the_shortest_rest() -> None:
    row = trimmable(1)
    before = Rest(row.start_ticks + 1, 8000, 0.0, REST_MAX_MS)
    assert rest_after(before, row, 7000, NOW_MS).rest_ms == REST_MS


@given(st.lists(st.booleans(), max_size=20))
def test_a_rest_has_its_bounds_and_never_becomes_shorter(woke: list[bool]) -> None:
    rest = rest_after(None, trimmable(1), 8000, NOW_MS)
    for each in woke:
        following = rest_after(rest, trimmable(1, swapped_kib=0 if each else 8000), 8000, rest.until_ms)
        assert rest.rest_ms <= following.rest_ms <= REST_MAX_MS
        assert (following.rest_ms > rest.rest_ms) == (each and rest.rest_ms < REST_MAX_MS)
        assert following.until_ms == rest.until_ms + following.rest_ms
        rest = following
