"""What becomes of the store while lmkd runs, on a board: noticed, raised, written back, moved, and nothing lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import events, record_of
from tests.board.scenario import Result

DAILY_UNITS = (4 << 20) // 4096
NORMAL_PCT = 30
pytestmark = [pytest.mark.board, pytest.mark.runs("stores")]


def step(result: Result, name: str) -> dict[str, Any]:
    return record_of(result.outcome, "stores", step=name)


def test_swap_that_somebody_else_sets_up_is_noticed_and_left_as_it_is(result: Result) -> None:
    others = step(result, "others")
    assert others["came"] and others["went"], others
    assert others["limit_bytes"] == 0
    appeared, gone = events(result.outcome, "store_changed")[:2]
    name = f"zram{others['number']} -2"
    assert (appeared["appeared"], gone["gone"]) == ([name], [name])
    assert appeared["own"] == gone["own"] == "zram0"


def test_the_limit_is_raised_while_what_is_stored_compresses_and_comes_back(result: Result) -> None:
    assert step(result, "filled")["raised"], events(result.outcome, "store_limit", "kill", "pressure")
    limits = events(result.outcome, "store_limit")
    assert limits[0]["to_kib"] > limits[0]["from_kib"] > limits[0]["used_kib"]
    assert all(limit["refused"] == "" for limit in limits)
    assert len(limits) <= 10


def test_pages_are_written_back_within_the_days_budget_also_after_a_restart(result: Result) -> None:
    written = step(result, "written")
    assert written["wrote"], events(result.outcome, "writeback", "degraded")
    assert 0 < written["units"] <= DAILY_UNITS
    assert written["units_after"] <= DAILY_UNITS
    # The first log is sent twice: before and after what the scenario does besides.
    records = {record["t_ms"]: record for record in events(result.outcome, "writeback")}.values()
    assert sum(record["pages"] for record in records) == written["units_after"]
    assert all(record["bytes"] == record["pages"] * 4096 for record in records)


def test_the_store_moves_to_another_device(result: Result) -> None:
    moved = step(result, "moved")
    assert (moved["exit"], moved["algorithm"], moved["swaps"], moved["seen"]) == (0, "lzo-rle", 1, True), moved
    assert moved["from"] != moved["to"]
    assert moved["stored_kib"] > 8192
    assert (step(result, "down")["exit"], step(result, "down")["swaps"]) == (0, 0)


def test_not_a_byte_is_lost_on_the_way(result: Result) -> None:
    assert [step(result, name)["intact"] for name in ("filled", "written", "moved", "down")] == [True] * 4
