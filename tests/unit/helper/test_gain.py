"""What a death returns: how the store's size is divided among those who have pages in it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.helper.entry import Entry
from lmkd.helper.gain import (
    CHANCE,
    PROCESS_KIB,
    WEIGHT_MIN,
    gain_kib,
    is_to_be_weighed,
    mean_weight,
    share_of,
    weight_of,
)
from lmkd.helper.sample import PRESENT
from lmkd.helper.scout import WEIGHED_AT_ONCE, Scout
from lmkd.kernel.process import Sizes, Stat
from tests.unit.plans import FakeProc, make_plan

PAGE = 4096
SHARE = 0.4


def entry(anon_kib: int = 0, swapped_kib: int = 4000, weight: float = 0.0, tables_kib: int = 0) -> Entry:
    made = Entry(Stat("app", "S", 1, 1000))
    made.sizes = Sizes(anon_kib, 0, swapped_kib, 0, "app", None, tables_kib)
    made.weight = weight
    return made


def gains(*entries: Entry, share: float = SHARE) -> list[int]:
    """Without what every process returns."""
    mean = mean_weight(entries)
    return [gain_kib(one, one.sizes, share, mean) - PROCESS_KIB for one in entries if one.sizes is not None]


def test_without_samples_everybody_has_the_average_share_of_the_store() -> None:
    assert gains(entry(), entry(anon_kib=100)) == [1600, 1700]


def test_the_store_is_divided_by_what_the_samples_say() -> None:
    small, large = gains(entry(weight=0.2), entry(weight=0.6))
    assert small == pytest.approx(800, rel=0.1)
    assert large == pytest.approx(2400, rel=0.1)


def test_one_that_was_not_sampled_has_the_average_share() -> None:
    assert gains(entry(weight=0.2), entry(weight=0.6), entry())[2] == 1600


def test_samples_that_differ_no_more_than_by_chance_do_not_count() -> None:
    assert gains(entry(weight=0.3), entry(weight=0.3 * (1 + CHANCE))) == [1600, 1600]


def test_page_tables_come_back_and_shared_pages_do_not() -> None:
    made = entry(anon_kib=1000, swapped_kib=0, tables_kib=24)
    made.shared_kib = 700
    assert gains(made) == [324]


def test_a_weight_is_what_is_left_on_average_and_never_nothing() -> None:
    assert weight_of([0.1, 0.3, 0.5]) == pytest.approx(0.3)
    assert weight_of([0.001]) == WEIGHT_MIN
    assert weight_of([]) == 0


WEIGHTS = st.one_of(st.just(0.0), st.floats(0.05, 1.0))


@given(WEIGHTS, st.floats(0.0, 1.0), WEIGHTS)
def test_a_page_occupies_no_more_than_itself_and_no_less_than_nothing(w: float, share: float, mean: float) -> None:
    assert 0 <= share_of(w, share, mean) <= 1


@given(st.floats(0.05, 1.0), st.floats(0.05, 1.0), st.floats(0.0, 0.5), st.floats(0.05, 1.0))
def test_who_compresses_worse_never_has_less_of_the_store(one: float, other: float, share: float, mean: float) -> None:
    low, high = sorted((one, other))
    assert share_of(low, share, mean) <= share_of(high, share, mean) + 1e-9


@given(st.lists(st.tuples(st.integers(1, 1 << 20), st.floats(0.1, 1.0)), min_size=1, max_size=30))
def test_the_parts_are_near_what_each_has_where_the_samples_are_true(rows: list[tuple[int, float]]) -> None:
    """The part that may be chance moves a share by ``CHANCE`` of the average at most: that is the price of it."""
    entries = [entry(swapped_kib=kib, weight=weight) for kib, weight in rows]
    share = sum(kib * weight for kib, weight in rows) / sum(kib for kib, _ in rows)
    for gain, (kib, weight) in zip(gains(*entries, share=share), rows, strict=True):
        assert gain == pytest.approx(kib * weight, abs=CHANCE * share * kib + 1.01)


def test_it_is_looked_into_once_while_enough_of_it_is_here_and_again_when_it_has_doubled() -> None:
    made = entry(anon_kib=1024, swapped_kib=0)
    assert is_to_be_weighed(made)
    made.weighed_kib = 1024
    assert not is_to_be_weighed(made)
    made.sizes = Sizes(1024, 0, 1024, 0, "app")
    assert is_to_be_weighed(made)
    made.sizes = Sizes(1023, 0, 1 << 20, 0, "app")
    assert not is_to_be_weighed(made)


def test_the_scout_looks_into_a_few_at_a_time_until_it_knows_all(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    for pid in range(10, 10 + WEIGHED_AT_ONCE + 1):
        folder = proc.add(pid, comm=b"app%d" % pid, anon_kib=2048, swapped_kib=1000)
        (folder / "maps").write_bytes(b"00000000-00010000 rw-p 00000000 00:00 0\n")
        (folder / "pagemap").write_bytes(struct.pack("=16Q", *[PRESENT] * 16))
        kept = PAGE // (4 if pid == 10 else 1)
        (folder / "mem").write_bytes(b"".join(os.urandom(kept) + bytes(PAGE - kept) for _ in range(16)))
    scout = Scout(make_plan(tmp_path), (), lambda *_: None)
    scout.scan()
    scout.measure(private=False)
    before = {row.gain_kib for row in scout.candidates(SHARE)}
    scout.weigh(PAGE)
    known = [pid for pid in scout.pids() if scout.entry(pid).weight]  # type: ignore[union-attr]
    scout.weigh(PAGE)
    after = {row.pid: row.gain_kib for row in scout.candidates(SHARE)}
    assert (before, len(known)) == ({2448 + PROCESS_KIB}, WEIGHED_AT_ONCE)
    assert after[10] < 2048 + 200 < 2048 + 400 < after[11] == pytest.approx(after[14], abs=8)
