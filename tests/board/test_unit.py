"""lmkd as a unit of systemd, process 1 of the board: its confines hinder nothing, and it comes back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import events, figure, record_of
from tests.board.scenario import Result

WATCHDOG_S = 8.0
RESTART_S = 14.0

pytestmark = pytest.mark.board


def unit(result: Result, step: str) -> dict[str, Any]:
    return record_of(result.outcome, "unit", step=step)


@pytest.mark.runs("unit")
def test_the_confines_of_the_unit_take_away_no_feature_of_the_kernel(result: Result) -> None:
    started = unit(result, "started")
    assert started["inside"] and set(started["outside"]) - set(started["inside"]) == set()
    assert [event["feature"] for event in events(result.outcome, "degraded")] == []


@pytest.mark.runs("unit")
def test_within_them_it_ends_what_eats_the_memory(result: Result) -> None:
    assert events(result.outcome, "kill") and figure(result, "oom_kill_delta") == 0
    assert figure(result, "foreground_alive") is True
    assert events(result.outcome, "refusal") == []
    outcomes = {event["outcome"] for event in events(result.outcome, "reap")}
    assert outcomes <= {"released", "gone", "busy", "not dying"}


@pytest.mark.runs("unit")
def test_it_tells_systemd_how_it_is_and_that_it_lives(result: Result) -> None:
    started, idle = unit(result, "started"), unit(result, "idle")
    assert started["state"] == idle["state"] == "active" and idle["restarts"] == 0
    assert idle["status"].startswith(("calm, headroom ", "low, headroom "))
    assert idle["group"] == "/lmkd.service" and idle["adj"] == -1000


@pytest.mark.runs("unit")
def test_killed_it_is_started_again_and_adopts_its_store(result: Result) -> None:
    killed = unit(result, "killed")
    assert killed["back"] is True and killed["adopted"] is True
    # In a mount namespace of the service's own it would be /zram0 now.
    assert killed["swap"] == unit(result, "idle")["swap"] == "/dev/zram0"


@pytest.mark.runs("unit")
def test_a_reload_tells_systemd_whether_the_file_was_taken(result: Result) -> None:
    reloaded = unit(result, "reloaded")
    assert reloaded["good"] == 0 and reloaded["bad"] != 0
    assert reloaded["state"] == "active" and reloaded["restarts"] == 1


@pytest.mark.runs("unit")
def test_a_guard_that_hangs_is_found_by_the_watchdog(result: Result) -> None:
    hung = unit(result, "hung")
    assert hung["back"] is True
    assert hung["ended_s"] - hung["begun_s"] <= WATCHDOG_S + RESTART_S
    assert hung["swap"] == unit(result, "idle")["swap"]


@pytest.mark.runs("unit")
def test_told_to_stop_it_leaves_the_store(result: Result) -> None:
    stopped = unit(result, "stopped")
    assert stopped["result"] == "success" and stopped["swap"] == unit(result, "idle")["swap"]
