"""The packed table against a plain list: order, sums, search, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.model import Candidate
from lmkd.policy.table import CAPACITY, TABLE_BYTES, PackedTable, kill_order, pack_table, table_of
from lmkd.values import replace
from tests.unit.plans import make_candidate

CANDIDATES = st.builds(
    Candidate,
    pid=st.integers(1, 2**22),
    start_ticks=st.integers(0, 2**64 - 1),
    priority=st.one_of(st.sampled_from((-1000, -1, 0, 200, 900)), st.integers(-1000, 1000)),
    gain_kib=st.integers(0, 2**20),
    resident_kib=st.integers(0, 2**32 - 1),
    swapped_kib=st.integers(0, 2**32 - 1),
    grace_ms=st.integers(0, 32767),
    flags=st.integers(0, 3),
    rule=st.integers(-1, 1000),
    name=st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=16),
)
LISTS = st.lists(CANDIDATES, max_size=40, unique_by=lambda one: one.pid)


def rows_of(table: PackedTable) -> list[Candidate]:
    return [table.row(index) for index in range(len(table))]


@given(LISTS)
def test_rows_come_in_kill_order_and_as_they_were(candidates: list[Candidate]) -> None:
    assert rows_of(table_of(candidates)) == sorted(candidates, key=kill_order)


@given(LISTS)
def test_every_process_is_found_and_no_other(candidates: list[Candidate]) -> None:
    table = table_of(candidates)
    for index, row in enumerate(rows_of(table)):
        assert table.index_of(row.pid) == index
    absent = {256, 1 << 16, 2**22 + 1} - {one.pid for one in candidates}
    assert all(table.index_of(pid) is None for pid in absent)


def test_a_process_is_not_found_across_two_others() -> None:
    rows = (make_candidate(0x00010000, gain_kib=1), make_candidate(0x00020000, gain_kib=2))
    table = table_of(rows)
    assert [table.index_of(pid) for pid in (0x00010000, 0x00020000, 1, 2, 0x100)] == [0, 1, None, None, None]


@given(LISTS)
def test_sums_are_those_of_all_rows_before(candidates: list[Candidate]) -> None:
    table = table_of(candidates)
    gains = [row.gain_kib for row in rows_of(table)]
    assert [table.gain_before(index) for index in range(len(gains) + 1)] == [
        sum(gains[:index]) for index in range(len(gains) + 1)
    ]


@given(LISTS)
def test_levels_are_the_runs_of_one_priority(candidates: list[Candidate]) -> None:
    table = table_of(candidates)
    rows = rows_of(table)
    levels = table.levels()
    assert [index for _, start, stop in levels for index in range(start, stop)] == list(range(len(rows)))
    assert [priority for priority, _, _ in levels] == sorted({row.priority for row in rows}, reverse=True)
    assert all(rows[index].priority == priority for priority, a, b in levels for index in range(a, b))


@given(LISTS, st.integers(0, 2**20 + 1))
def test_the_smallest_sufficient_gain_of_a_level_is_found(candidates: list[Candidate], gain_kib: int) -> None:
    table = table_of(candidates)
    rows = rows_of(table)
    for _, start, stop in table.levels():
        enough = [index for index in range(start, stop) if rows[index].gain_kib >= gain_kib]
        assert table.first_with_gain(start, stop, gain_kib) == min(enough, default=stop)


def test_an_empty_table_answers() -> None:
    table = table_of(())
    assert (len(table), table.levels(), table.index_of(1), table.gain_before(0)) == (0, (), None, 0)
    assert table.first_with_gain(0, 0, 1) == 0
    for index in (0, -1):
        with pytest.raises(IndexError):
            table.row(index)


def test_more_processes_than_rows_keep_those_that_die_first() -> None:
    many = [make_candidate(pid, pid % 1000, pid) for pid in range(1, CAPACITY + 500)]
    assert rows_of(table_of(many)) == sorted(many, key=kill_order)[:CAPACITY]


def test_every_row_can_have_a_priority_of_its_own_or_the_same() -> None:
    same = table_of([make_candidate(pid, 900, 7) for pid in range(1, CAPACITY + 1)])
    assert same.levels() == ((900, 0, CAPACITY),)
    assert same.row(0).pid == CAPACITY


def test_numbers_that_do_not_fit_are_bounded_not_wrapped() -> None:
    huge = make_candidate(1, gain_kib=2**40, resident_kib=2**40, swapped_kib=2**40, grace_ms=10**6)
    table = table_of((huge, replace(huge, pid=2, grace_ms=-5)))
    row = table.row(table.index_of(1) or 0)
    assert (row.gain_kib, row.resident_kib, row.swapped_kib, row.grace_ms) == (*[2**32 - 1] * 3, 32767)
    assert table.row(table.index_of(2) or 0).grace_ms == 0
    assert table.gain_before(2) == 2**32 - 1


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("fifteen bytes ab", "fifteen bytes ab"),
        ("seventeen bytes ab", "seventeen bytes "),
        ("fourteen bytes\u20ac", "fourteen bytes"),
        ("twelve bytes\u20ac", "twelve bytes\u20ac"),
        ("\ufffd" * 15, "\ufffd" * 5),
        ("\ud800", "?"),
        ('quo"te\\', 'quo"te\\'),
        ("", ""),
    ],
)
def test_a_long_name_is_cut_between_characters(name: str, kept: str) -> None:
    assert table_of((make_candidate(1, name=name),)).row(0).name == kept


def test_a_table_written_over_a_longer_one_has_nothing_left_of_it() -> None:
    buffer = memoryview(bytearray(TABLE_BYTES))
    pack_table(buffer, [make_candidate(pid, pid) for pid in range(1, 20)], 1.0)
    pack_table(buffer, [make_candidate(50)], 2.0)
    table = PackedTable(buffer)
    assert (len(table), len(table.levels()), table.measured_ms) == (1, 1, 2.0)
    assert table.index_of(3) is None


def test_among_equals_the_older_process_dies_last() -> None:
    assert [row.pid for row in rows_of(table_of([make_candidate(5), make_candidate(9)]))] == [9, 5]
