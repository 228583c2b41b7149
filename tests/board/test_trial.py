"""The trial of the compression algorithms on a kernel: nothing is left behind, and the next store is made by it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import events, record_of
from tests.board.scenario import Result

pytestmark = [pytest.mark.board, pytest.mark.runs("trial")]


def step(result: Result, name: str) -> dict[str, Any]:
    return record_of(result.outcome, "trial", step=name)


def test_every_algorithm_gets_figures_that_can_be_and_its_pages_back(result: Result) -> None:
    whole = step(result, "whole")
    found = {row["name"]: row for row in whole["found"]["algorithms"]}
    assert whole["exit"] == 0 and whole["found"]["failed"] == {}
    assert {"lzo-rle", "lz4", "zstd"} <= set(found)
    assert all(1.5 < row["ratio"] < 4.5 and 0 < row["fetch_us"] < row["store_us"] for row in found.values()), found
    assert found["zstd"]["overhead_kib"] > 1000 > found["lz4"]["overhead_kib"]
    assert whole["found"]["pages"] >= 250 and whole["found"]["processes"] >= 5


def test_it_leaves_no_device_no_note_no_module_and_no_memory_behind(result: Result) -> None:
    whole = step(result, "whole")
    assert (whole["zrams"], whole["noted"], whole["same_modules"]) == (1, False, True)
    assert abs(whole["vmalloc_kib"]) <= 64


def test_the_store_in_use_is_measured_and_every_page_comes_back_as_it_was(result: Result) -> None:
    bench = step(result, "bench")
    assert bench["exit"] == 0 and bench["found"]["not_measured"] == {}
    pages, deaths = bench["found"]["pages"], bench["found"]["deaths"]
    three, whole = pages["ways"]
    for way in (three, whole):
        assert way["out"] == way["tried"] == way["major_faults"] >= 1024
        assert 5 < way["median_us"] <= way["back_us"] < way["out_us"] < 150 and way["worst_us"] > way["p99_us"], way
    assert pages["corrupt"] == deaths["corrupt"] == 0 and pages["compared"] >= 5 * 1024
    # Nothing waits on the way back: two on one processor get together what one gets alone.
    assert pages["two_at_once"][0]["together_mb_s"] == pytest.approx(three["mb_s"], rel=0.3)
    assert deaths["returned_kib"]["at_once"] < deaths["returned_kib"]["compacted"]
    # The manager runs, and what else it has stored compresses otherwise: docs/store.md has the accuracy.
    assert abs(deaths["error_pct"]) <= 40


@pytest.mark.parametrize(("signal", "code"), [("TERM", 128 + 15), ("KILL", 128 + 9)])
def test_a_measurement_that_is_ended_leaves_no_process_behind(result: Result, signal: str, code: int) -> None:
    ended = step(result, f"sending {signal}")
    assert (ended["exit"], ended["left"]) == (code, 0)


def test_told_to_end_it_removes_its_device_first(result: Result) -> None:
    ended = step(result, "TERM")
    assert (ended["exit"], ended["zrams"], ended["noted"]) == (128 + 15, 1, False)


def test_killed_it_leaves_a_device_that_the_next_start_removes(result: Result) -> None:
    killed, following = step(result, "KILL"), step(result, "next")
    assert (killed["exit"], killed["zrams"], killed["noted"]) == (128 + 9, 2, True)
    assert (following["zrams"], following["noted"]) == (1, False)
    assert any(event["device"] == "zram1" for event in events(result.outcome, "trial_cleared"))


def test_the_next_store_is_made_with_what_was_found_best_and_status_shows_why(result: Result) -> None:
    found, status = step(result, "whole")["found"], step(result, "next")["status"]
    assert status["algorithm"] == found["auto"] == status["trial"]["auto"]
    assert status["trial"]["algorithms"] == found["algorithms"]
    assert status["size_kib"] == pytest.approx(found["auto_size_kib"], abs=4)


def test_a_store_with_another_algorithm_moves_by_itself_in_calm_and_loses_nothing(result: Result) -> None:
    moved, picked = step(result, "moved"), step(result, "whole")["found"]["auto"]
    assert moved["seen"], events(result.outcome, "store_move", "store_changed", "pressure")
    assert moved["from"] != moved["to"] == picked
    assert (moved["swaps"], moved["intact"]) == ("zram1", True)
    assert moved["stored_kib"] > 4096
    assert events(result.outcome, "store_move")[-1]["algorithm"] == picked
