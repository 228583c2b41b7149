"""Which algorithm a board gains most from, and how large its store is: the promises, and boards that were measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.store.choice import (
    NEAR_PCT,
    RATIO_UNKNOWN,
    Board,
    Figure,
    auto_size_kib,
    best,
    bounds,
    effective_kib,
    kept_bounds,
    rate,
    slots_kib,
)
from lmkd.values import replace

# armhf, Linux 6.1, 500 MIPS: 256 pages of a Python service's memory (`lmkd store bench`).
MEASURED = (
    Figure("lzo", 1945, 2013, 94.9, 29.4, 0),
    Figure("lzo-rle", 1979, 2026, 92.6, 29.1, 0),
    Figure("lz4", 1985, 2051, 102.7, 29.6, 20),
    Figure("lz4hc", 1776, 1808, 1294.8, 19.8, 316),
    Figure("zstd", 1472, 1472, 482.5, 171.9, 1708),
)
BOARD = Board(241012, 72303, 33)

figures = st.lists(
    st.builds(
        Figure,
        name=st.text("abc", min_size=1, max_size=6),
        compressed_bytes=st.floats(1, 4096),
        occupied_bytes=st.floats(1, 4096),
        store_us=st.floats(0, 5000),
        fetch_us=st.floats(0, 5000),
        overhead_kib=st.integers(0, 4096),
    ),
    min_size=1,
    max_size=8,
)
boards = st.builds(
    lambda ram, pct, budget: Board(ram, ram * pct // 100, budget),
    st.integers(16 << 10, 4 << 20),
    st.integers(1, 100),
    st.integers(5, 1000),
)


def test_on_a_slow_processor_the_cheapest_wins_whatever_a_slow_one_gives() -> None:
    taken = best(MEASURED, BOARD)
    assert taken is not None and taken.figure.name == "lzo-rle"
    reasons = {row.figure.name: row.reason for row in rate(MEASURED, BOARD)}
    assert "a fetch takes 171.9 us" in reasons["zstd"] and "a store takes 1294.8 us" in reasons["lz4hc"]


def test_on_a_processor_four_times_as_fast_memory_decides_on_a_small_board() -> None:
    fast = [replace(one, store_us=one.store_us / 4, fetch_us=one.fetch_us / 4) for one in MEASURED]
    small, large = (best(fast, Board(ram, ram * 3 // 10, 33)) for ram in (46 << 10, 500 << 10))
    assert small is not None and small.figure.name == "zstd"
    assert large is not None and large.figure.name == "lzo-rle"


def test_an_algorithm_whose_own_memory_eats_its_gain_is_not_taken() -> None:
    tiny, patient = Board(8 << 10, 2400, 1000), Board(46 << 10, 14 << 10, 1000)
    names = [taken.figure.name for board in (tiny, patient) if (taken := best(MEASURED, board)) is not None]
    assert names == ["lzo-rle", "zstd"]


def test_the_bounds_are_of_the_stall_budget_and_of_ram() -> None:
    limits = bounds(BOARD)
    assert limits.burst_pages == 241012 // 4 // 100
    assert limits.burst_pages * limits.fetch_us == pytest.approx(33_000 / 2)
    assert limits.burst_pages * limits.store_us == pytest.approx(33_000 * 3)


def test_without_figures_there_is_no_choice() -> None:
    assert best((), BOARD) is None and rate((), BOARD) == []


@given(figures, boards)
def test_exactly_one_is_taken_and_every_other_has_a_reason(found: list[Figure], board: Board) -> None:
    rows = rate(found, board)
    assert [row.figure for row in rows] == found
    assert len([row for row in rows if not row.reason]) == 1


@given(figures, boards)
def test_what_is_taken_keeps_the_bounds_and_gives_nearly_the_most_of_those_that_do(
    found: list[Figure], board: Board
) -> None:
    taken, limits = best(found, board), kept_bounds(found, board)
    assert taken is not None
    assert taken.figure.fetch_us <= limits.fetch_us and taken.figure.store_us <= limits.store_us
    able = [one for one in found if one.fetch_us <= limits.fetch_us and one.store_us <= limits.store_us]
    most = max(effective_kib(one, board) for one in able)
    assert taken.effective_kib * (1 + NEAR_PCT / 100) >= most * 0.9999
    assert all(
        taken.figure.cost_us <= one.cost_us
        for one in able
        if effective_kib(one, board) * (1 + NEAR_PCT / 100) >= most * 1.0001
    )


@given(figures, boards)
def test_one_that_is_worse_in_everything_is_never_taken(found: list[Figure], board: Board) -> None:
    taken = best(found, board)
    assert taken is not None
    figure = taken.figure
    worse = replace(
        figure, name="worse", occupied_bytes=figure.occupied_bytes + 1, store_us=figure.store_us + 1,
        fetch_us=figure.fetch_us + 1, overhead_kib=figure.overhead_kib + 1,
    )  # fmt: skip
    again = best([worse, *found], board)
    assert again is not None and again.figure == figure


@given(figures, boards, st.integers(1, 2000))
def test_more_patience_never_takes_memory_away(found: list[Figure], board: Board, more_ms: int) -> None:
    before, after = best(found, board), best(found, replace(board, stall_budget_ms=board.stall_budget_ms + more_ms))
    assert before is not None and after is not None
    assert after.effective_kib * (1 + NEAR_PCT / 100) >= before.effective_kib * 0.9999


@given(st.integers(16 << 10, 4 << 20), st.integers(1, 100), st.floats(1, 50))
def test_the_limit_on_ram_bounds_the_store_before_its_slots_do(ram_kib: int, pct: int, ratio: float) -> None:
    limit_kib = max(1, ram_kib * pct // 100)
    size_kib = auto_size_kib(ram_kib, limit_kib, ratio)
    assert size_kib <= 4 * ram_kib
    assert size_kib >= limit_kib * ratio or size_kib == ram_kib * 400 // 100
    assert size_kib == auto_size_kib(ram_kib, limit_kib, None) or ratio > RATIO_UNKNOWN


def test_the_size_of_a_usual_board_and_what_it_costs() -> None:
    assert auto_size_kib(241012, 72303, 2.0) == auto_size_kib(241012, 72303, None) == 325364
    assert auto_size_kib(241012, 72303, 4.0) == 433818
    assert auto_size_kib(241012, None, None) == 964048
    assert slots_kib(325364, 4096) == 1509
    assert slots_kib(325364, 4096, 8) == 874
