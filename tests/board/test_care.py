"""What lmkd does for memory before it kills: shown on a board where each has its occasion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import events, record_of
from tests.board.scenario import Result
from tests.board.scenarios import CROWDED_MS

pytestmark = [pytest.mark.board, pytest.mark.runs("care")]


def care(result: Result) -> dict[str, Any]:
    return record_of(result.outcome, "care")


def test_idle_applications_are_paged_out_before_memory_is_short(result: Result) -> None:
    trimmed = [event for event in events(result.outcome, "trim") if event.get("how") == "process_madvise"]
    assert trimmed, [event["event"] for event in events(result.outcome)]
    assert all(event["name"].startswith("bg-") for event in trimmed), trimmed
    assert sum(event["stored_kib"] for event in trimmed) > 4096
    assert care(result)["idle"]["background_kept"] == 6


def test_one_with_a_cgroup_of_its_own_is_paged_out_by_it_and_loses_nothing(result: Result) -> None:
    assert any(
        event.get("how") == "memory.reclaim" and event["name"] == "keeper" for event in events(result.outcome, "trim")
    ), events(result.outcome, "trim")
    assert care(result)["intact"] is True


def test_the_foreground_is_shielded_while_lmkd_runs_and_not_after(result: Result) -> None:
    shields = events(result.outcome, "shield")
    assert shields and shields[0]["cgroup"] == "/ui"
    assert care(result)["low_kib"] > 24 * 1024
    assert care(result)["low_after_kib"] == 0


def test_the_foreground_stays_smooth_meanwhile(result: Result) -> None:
    ui = care(result)["ui"]
    assert ui["beats"] > 600
    assert ui["gap_worst_ms"] <= CROWDED_MS, ui["gaps_worst"]
