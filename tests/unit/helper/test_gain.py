"""What a death returns: how the store's size is divided among those who have pages in it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.helper.entry import Entry
from lmkd.helper.gain import gain_kib, is_to_be_weighed, mean_weight
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
    mean = mean_weight(entries)
    return [gain_kib(one, one.sizes, share, mean) for one in entries if one.sizes is not None]


def test_without_samples_everybody_has_the_average_share_of_the_store() -> None:
    assert gains(entry(), entry(anon_kib=100)) == [1600, 1700]


def test_the_store_is_divided_by_what_the_samples_say() -> None:
    assert gains(entry(weight=0.2), entry(weight=0.6)) == [800, 2400]


def test_one_that_was_not_sampled_has_the_average_share() -> None:
    assert gains(entry(weight=0.2), entry(weight=0.6), entry()) == [800, 2400, 1600]


def test_page_tables_come_back_and_shared_pages_do_not() -> None:
    made = entry(anon_kib=1000, swapped_kib=0, tables_kib=24)
    made.shared_kib = 700
    assert gains(made) == [324]


WEIGHTS = st.one_of(st.just(0.0), st.floats(0.05, 1.0))


@given(st.lists(st.tuples(st.integers(0, 1 << 20), WEIGHTS), min_size=1, max_size=30), st.floats(0.0, 1.0))
def test_together_nobody_has_more_of_the_store_than_it_holds(rows: list[tuple[int, float]], share: float) -> None:
    entries = [entry(swapped_kib=kib, weight=weight) for kib, weight in rows]
    found = gains(*entries, share=share)
    assert all(0 <= gain <= kib for gain, (kib, _) in zip(found, rows, strict=True))
    assert sum(found) <= share * sum(kib for kib, _ in rows) + 1


@given(st.lists(st.tuples(st.integers(1, 1 << 20), st.floats(0.1, 1.0)), min_size=1, max_size=30))
def test_weights_that_are_what_the_store_takes_give_each_what_it_has(rows: list[tuple[int, float]]) -> None:
    entries = [entry(swapped_kib=kib, weight=weight) for kib, weight in rows]
    share = sum(kib * weight for kib, weight in rows) / sum(kib for kib, _ in rows)
    assert gains(*entries, share=share) == pytest.approx([kib * weight for kib, weight in rows], abs=1.01)


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
    assert (before, len(known)) == ({2448}, WEIGHED_AT_ONCE)
    assert after[10] < 2048 + 150 < 2048 + 400 < after[11] == pytest.approx(after[14], abs=8)
