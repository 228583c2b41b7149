"""What the service costs, and how it lives: ready, idle, killed, reloaded, stopped, dry."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import events, figure, one_event, record_of
from tests.board.scenario import Result
from tests.board.trials import IDLE_WINDOW_S, IDLE_WINDOWS, WAKE_COUNTS

GUARD_KIB, SERVICE_KIB = 4300, 7900
"""At rest, where it takes some 3,970 and 7,610."""
READY_MS = 3000
WAKEUPS_PER_MINUTE = 12
TICK_NS = 10_000_000
WAKE_COST_MS = 2.1

pytestmark = pytest.mark.board


def life(result: Result, step: str) -> dict[str, Any]:
    return record_of(result.outcome, "life", step=step)


def windows(result: Result) -> list[list[dict[str, Any]]]:
    found: list[list[dict[str, Any]]] = record_of(result.outcome, "idle")["windows"]
    assert len(found) == IDLE_WINDOWS and all(len(window) == 2 for window in found), found
    return found


@pytest.mark.runs("life")
def test_the_service_is_small(result: Result) -> None:
    sizes = [process["pss_kib"] for process in figure(result, "processes")]
    assert len(sizes) == 2, figure(result, "processes")
    assert 0 < sizes[0] <= GUARD_KIB
    assert sum(sizes) == figure(result, "manager_pss_kib") <= SERVICE_KIB


@pytest.mark.runs("life")
def test_it_is_ready_soon_by_its_own_clock_and_by_ours(result: Result) -> None:
    assert 0 < one_event(result.outcome, "ready")["ms"] <= READY_MS
    assert 0 < figure(result, "ready_after_s") * 1000 <= READY_MS


@pytest.mark.runs("life")
def test_idle_it_hardly_wakes(result: Result) -> None:
    woken = sum(process["switches"] for window in windows(result) for process in window)
    assert woken <= WAKEUPS_PER_MINUTE * IDLE_WINDOW_S * IDLE_WINDOWS / 60, windows(result)


@pytest.mark.runs("life")
def test_idle_it_costs_no_tick_of_the_clock(result: Result) -> None:
    """Both processes together run for less than one tick in each window.

    The tick counters themselves are not asked: utime and stime round the run time since the start, so which window a
    tick falls into is chance.
    """
    assert all(sum(process["run_ns"] for process in window) < TICK_NS for window in windows(result)), windows(result)


@pytest.mark.runs("life")
def test_killed_it_leaves_the_store_and_no_helper(result: Result) -> None:
    before, killed = life(result, "filled"), life(result, "killed")
    assert before["filled"] is True and before["swap_kib"] > 10_000
    assert killed["helper"] is not None and killed["helper_gone"] is True
    assert killed["swaps"] == 1 and killed["swap_kib"] > 10_000
    assert "lmkd: the guard has died: nobody guards" in result.outcome.console, "the last word goes to the kernel's log"


@pytest.mark.runs("life")
def test_started_again_it_adopts_the_store_and_loses_nothing(result: Result) -> None:
    adopted = life(result, "adopted")
    assert one_event(result.outcome, "store_adopted")["swap_used_kib"] > 10_000
    assert adopted["disk_bytes"] == life(result, "filled")["disk_bytes"]
    assert adopted["answered"] is True and adopted["intact"] == 1
    assert adopted["mirrored"] is True


@pytest.mark.runs("life")
def test_a_good_file_is_taken_on_reload(result: Result) -> None:
    assert life(result, "reloaded") | {"recorded": True, "in_force": True} == life(result, "reloaded")
    assert life(result, "mended") | {"recorded": True, "in_force": True} == life(result, "mended")


@pytest.mark.runs("life")
def test_a_bad_file_is_refused_by_file_and_line_and_changes_nothing(result: Result) -> None:
    refused = life(result, "refused")
    assert refused["recorded"] is True and refused["guard_alive"] is True and refused["rules_kept"] is True
    reason = one_event(result.outcome, "reload_failed")["reason"]
    assert "/run/lmkd.yaml:1:" in reason and "/run/lmkd.yaml:4:" in reason, reason


@pytest.mark.runs("life")
def test_a_second_one_is_refused_and_changes_nothing(result: Result) -> None:
    second = life(result, "second")
    assert second["exit"] == 1 and second["told"] is True and second["guard_alive"] is True


@pytest.mark.runs("life")
def test_told_to_end_it_stops_cleanly_and_leaves_the_store_up(result: Result) -> None:
    stopped = life(result, "stopped")
    assert stopped["ended"] is True and stopped["exit"] == 0 and stopped["helper_gone"] is True
    assert stopped["ended_s"] - stopped["begun_s"] <= 3
    assert stopped["swaps"] == 1
    assert stopped["socket_left"] is False


@pytest.mark.runs("life")
def test_the_store_comes_down_on_demand_and_the_tunables_go_back(result: Result) -> None:
    down = life(result, "down")
    assert down["exit"] == 0 and down["swaps"] == 0 and down["intact"] == 2
    before = record_of(result.outcome, "settings", when="before")
    after = record_of(result.outcome, "settings", when="after")
    assert {**after, "when": "", "zram_limit": None} == {**before, "when": "", "zram_limit": None}


@pytest.mark.runs("priorities")
def test_the_order_of_the_file_is_the_order_of_the_deaths(result: Result) -> None:
    names = [death["name"].partition("-")[0] for death in figure(result, "deaths")]
    assert names.count("gallery") == 4 or "player" not in names, names
    assert "gallery" in names and names == sorted(names), names  # by the alphabet too: gallery, player
    assert set(names) <= {"gallery", "player"}
    assert figure(result, "foreground_alive") is True and figure(result, "oom_kill_delta") == 0


@pytest.mark.runs("priorities")
def test_a_kill_names_the_rule_that_gave_the_priority(result: Result) -> None:
    kills = [event for event in events(result.outcome, "kill") if event["name"].startswith("gallery")]
    assert kills and all("lmkd.yaml:15" in event["rule"] and event["priority"] == 900 for event in kills), kills


@pytest.mark.runs("priorities")
def test_one_that_ignores_sigterm_does_not_hold_up_the_rescue(result: Result) -> None:
    second = result.outcome.of_kind("load")[1]["result"]
    assert second["foreground_alive"] is True and second["oom_kill"] == 0
    assert second["gap_worst_ms"] < 100, second["gaps_worst"]
    assert any(event["signal"] == "SIGTERM" for event in events(result.outcome, "kill"))
    escalated = {event["name"] for event in events(result.outcome, "escalate")}
    stubborn = [death for death in second["deaths"] if death["name"].startswith("stubborn")]
    assert stubborn and all(death["signal"] == 9 for death in stubborn), second["deaths"]
    assert escalated & {death["name"] for death in stubborn}


@pytest.mark.runs("dry-run")
def test_a_dry_run_decides_and_touches_nothing(result: Result) -> None:
    assert figure(result, "deaths") == []
    decided = events(result.outcome, "kill")
    assert decided and all(event["dry_run"] is True for event in decided)
    before = record_of(result.outcome, "settings", when="before")
    after = record_of(result.outcome, "settings", when="after")
    assert {**after, "when": ""} == {**before, "when": ""}


@pytest.mark.runs("wakecost")
def test_a_wakeup_that_decides_nothing_is_cheap_beside_any_number_of_processes(result: Result) -> None:
    found = result.outcome.of_kind("wakecost")
    assert [record["wanted"] for record in found] == list(WAKE_COUNTS)
    assert all(record["processes"] >= 0.95 * record["wanted"] for record in found), found
    costs = [guard["run_ns"] / guard["switches"] / 1e6 for record in found for (guard,) in record["windows"]]
    assert all(record["windows"][0][0]["switches"] >= 20 for record in found), found
    assert max(costs) <= WAKE_COST_MS and max(costs) <= 1.5 * min(costs) + 0.1, costs
