"""What was measured is kept for one kernel and one machine; what is damaged is told of and ignored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd import config as configs
from lmkd.config import Config
from lmkd.store.algorithms import choose
from lmkd.store.record import UP, StoreRecord, boot_id, format_record, store_path
from lmkd.store.remembered import (
    Remembered,
    format_remembered,
    lasting_path,
    parse_remembered,
    passing_path,
    recall,
    remember,
    this_kernel,
    this_machine,
)
from lmkd.store.state import NO_STORE, StoreState
from lmkd.store.wanted import better_algorithm, needs_move, needs_trial, wanted_here, wanted_spec
from lmkd.store.zram_store import bring_up
from lmkd.values import replace
from tests.unit.store.fakes import Board, FakeKernel, Reports
from tests.unit.store.test_choice import MEASURED

RAM_KIB = 241012


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def found_on(board: Board) -> Remembered:
    return Remembered(
        this_kernel(), this_machine(board.roots), 1_700_000_000, 4096, 256, 9, 3, 16, MEASURED
    )


def parsed(text: str = "") -> Config:
    return configs.parse_text(text, "f")


def test_what_is_remembered_is_recalled(board: Board) -> None:
    reports = Reports()
    assert remember(board.roots, found_on(board), reports) == lasting_path(board.roots)
    assert recall(board.roots, reports) == found_on(board)
    assert reports.events == []


def test_where_nothing_lasts_it_is_kept_until_the_next_boot_and_said_so(board: Board) -> None:
    board.put(board.roots.state.parent, "a file where a folder should be")
    reports = Reports()
    assert remember(board.roots, found_on(board), reports) == passing_path(board.roots)
    assert "forgotten at the next boot" in str(reports.of("degraded")["cost"])


def test_the_newest_counts_and_one_that_lasts_replaces_one_that_does_not(board: Board) -> None:
    old, new = found_on(board), replace(found_on(board), measured_s=1_800_000_000, pages=64)
    board.put(passing_path(board.roots), format_remembered(new))
    board.put(lasting_path(board.roots), format_remembered(old))
    assert recall(board.roots, Reports()) == new
    remember(board.roots, old, Reports())
    assert recall(board.roots, Reports()) == old


@pytest.mark.parametrize("change", [{"kernel": "5.10.0-other"}, {"machine": "m68k, Amiga"}])
def test_another_kernel_or_machine_has_to_be_measured_anew(board: Board, change: dict[str, str]) -> None:
    board.put(lasting_path(board.roots), format_remembered(replace(found_on(board), **change)))
    reports = Reports()
    assert recall(board.roots, reports) is None and reports.events == []
    assert needs_trial(board.roots, parsed())


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"version": 1}', '{"version": 9, "figures": []}'])
def test_a_damaged_file_is_told_of_and_the_default_is_used(board: Board, text: str) -> None:
    board.memory(RAM_KIB, 150_000)
    board.put(lasting_path(board.roots), text)
    reports = Reports()
    spec = wanted_here(board.roots, parsed(), reports)
    assert str(lasting_path(board.roots)) == reports.of("degraded")["feature"]
    assert (spec.algorithm, spec.preferred, spec.size_kib) == ("auto", None, 325364)


@pytest.mark.parametrize(
    "change",
    [
        {"figures": []},
        {"figures": [{"name": "lz4"}]},
        {"figures": ["lz4"]},
        {"kernel": ""},
        {"pages": -1},
        {"pages": True},
        {"page_bytes": 0},
        {"entry_bytes": "16"},
        {"measured_s": 1.5},
    ],
)
def test_what_cannot_be_is_damage(board: Board, change: dict[str, object]) -> None:
    whole = json.loads(format_remembered(found_on(board)))
    assert parse_remembered(json.dumps(whole)) is not None
    assert parse_remembered(json.dumps(whole | change)) is None


@pytest.mark.parametrize(
    ("key", "item"), [("store_us", -1), ("fetch_us", float("nan")), ("occupied_bytes", "4"), ("overhead_kib", 1.5)]
)
def test_a_figure_that_cannot_be_is_damage(board: Board, key: str, item: object) -> None:
    whole = json.loads(format_remembered(found_on(board)))
    whole["figures"][0][key] = item
    assert parse_remembered(json.dumps(whole)) is None
    twice = json.loads(format_remembered(found_on(board)))
    twice["figures"].append(twice["figures"][0])
    assert parse_remembered(json.dumps(twice)) is None


@given(st.text())
def test_no_text_at_all_makes_reading_it_fail(text: str) -> None:
    assert parse_remembered(text) is None


def test_auto_takes_what_was_measured_and_the_next_store_is_made_with_it(board: Board) -> None:
    board.memory(RAM_KIB, 150_000)
    remember(board.roots, found_on(board), Reports())
    spec = wanted_here(board.roots, parsed(), Reports())
    assert (spec.algorithm, spec.preferred) == ("auto", "lzo-rle")
    kernel = FakeKernel(board)
    assert bring_up(board.roots, spec, Reports(), kernel).algorithm == "lzo-rle"
    assert not needs_trial(board.roots, parsed())


def test_the_knob_decides_what_the_same_figures_mean(board: Board) -> None:
    assert wanted_spec(parsed("stall_budget: 500ms"), RAM_KIB, found_on(board)).preferred == "zstd"


def test_what_is_given_stands_and_its_own_ratio_makes_the_size(board: Board) -> None:
    dense = replace(found_on(board), figures=(replace(MEASURED[4], occupied_bytes=819.2), *MEASURED[:4]))
    spec = wanted_spec(parsed("store: {algorithm: zstd}"), RAM_KIB, dense)
    assert spec.algorithm == "zstd" and spec.size_kib == round(72303 * 5 * 1.5)
    assert wanted_spec(parsed("store: {size: 50%}"), RAM_KIB, dense).size_kib == RAM_KIB // 2
    assert not needs_trial(board.roots, parsed("store: {algorithm: zstd}"))
    assert not needs_trial(board.roots, parsed("store: {trial: false}"))
    assert not needs_trial(board.roots, parsed("store: {kind: none}"))


def test_a_preference_that_the_kernel_no_longer_offers_is_passed_over() -> None:
    from lmkd.kernel.zram import Algorithms

    assert choose("auto", Algorithms(("lzo", "lz4"), "lzo"), "zstd").name == "lz4"
    assert choose("lzo", Algorithms(("lzo", "lz4"), "lzo"), "lz4").name == "lzo"


def test_a_better_algorithm_for_a_store_that_is_up_is_named() -> None:
    spec = wanted_spec(parsed(), RAM_KIB, None)
    tried = replace(spec, preferred="lzo-rle")
    up = StoreState(kind="zram", device="zram0", algorithm="lz4")
    assert better_algorithm(tried, up) == "lzo-rle"
    assert better_algorithm(tried, replace(up, algorithm="lzo-rle")) is None
    assert better_algorithm(tried, replace(up, foreign=True)) is None
    assert better_algorithm(replace(tried, algorithm="lz4"), up) is None
    assert better_algorithm(spec, up) is None


def test_a_store_that_is_up_should_move_when_the_trial_picked_another_or_a_move_was_ended(board: Board) -> None:
    remember(board.roots, found_on(board), Reports())
    picks = wanted_here(board.roots, parsed(), Reports()).preferred
    up = StoreState(kind="zram", device="zram0", algorithm="842")
    assert needs_move(board.roots, parsed(), up)
    assert not needs_move(board.roots, parsed(), replace(up, algorithm=picks))
    for text in ("store: {algorithm: lz4}", "store: {trial: false}", "store: {kind: zswap}"):
        assert not needs_move(board.roots, parsed(text), up), text
    for other in (replace(up, foreign=True), replace(up, kind="zswap"), NO_STORE):
        assert not needs_move(board.roots, parsed(), other), other
    note = StoreRecord(boot_id(board.roots), "zram1", UP, True, False, "zram0")
    board.put(store_path(board.roots), format_record(note))
    assert needs_move(board.roots, parsed(), replace(up, algorithm=picks))
