"""What the benchmark says of runs: bounds, who is ahead, what makes a run stale; on made-up figures, no board."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.board import results
from tests.board.bench import MANAGERS, SCENARIO_NAMES, Seeds, wanted_jobs
from tests.board.boards import find
from tests.board.measured import Cell, ahead
from tests.board.results import Job, stamp
from tests.board.scenario import Manager
from tests.board.sizes import RESIZED, scaled_load
from tests.board.timeline import Mark, Timeline
from tests.board.timeline_chart import draw_timelines

pytestmark = pytest.mark.board

GOOD: dict[str, Any] = {
    "gap_worst_ms": 25.0, "foreground_alive": True, "background_kept": 8, "background_total": 8, "small_kept": 0,
    "small_total": 0, "oom_kill_delta": 0, "manager_pss_kib": 8000, "grow_died": True, "manager_ready": True,
    "manager_alive": True, "deaths": [{}], "deaths_unlisted": 0,
}  # fmt: skip


def cell(manager: Manager, *changes: dict[str, Any]) -> Cell:
    runs = tuple({**GOOD, **change} for change in changes)
    return Cell("grow-30-comp", manager, ("finished",) * len(runs), runs)


def test_median_worst_and_sums_are_over_all_runs() -> None:
    found = cell("lmkd", {"gap_worst_ms": 21.0}, {"gap_worst_ms": 40.0, "background_kept": 7}, {"oom_kill_delta": 2})
    assert (found.gap_median_ms, found.gap_ms, found.kept) == (25.0, 40.0, (7, 8))
    assert found.total("oom_kill_delta") == 2 and found.deaths == 1


def test_a_bound_is_missed_by_the_worst_run_and_by_a_figure_that_is_missing() -> None:
    assert cell("lmkd", {}).missed() == []
    assert cell("lmkd", {}, {"gap_worst_ms": 34.0}).missed() == ["gap_worst_ms <= 33 in 1 of 2 runs (34.0)"]
    assert cell("lmkd", {"manager_alive": False}).missed() == ["manager_alive == True in 1 of 1 runs (false)"]
    assert "unknown" in cell("lmkd", {"grow_died": None}).missed()[0]


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        ({}, {"gap_worst_ms": 90.0}, "yes"),
        ({}, {"gap_worst_ms": 21.0}, "level with earlyoom"),  # both within the bound: nobody sees it
        ({"gap_worst_ms": 40.0}, {"gap_worst_ms": 30.0}, "no: gap of earlyoom"),
        ({"gap_worst_ms": 40.0}, {"gap_worst_ms": 30.0, "foreground_alive": False}, "yes"),
        ({"background_kept": 7}, {"gap_worst_ms": 90.0}, "no: kept of earlyoom"),
        ({"oom_kill_delta": 1}, {"background_kept": 0}, "no: kernel kills of earlyoom"),
    ],
)
def test_ahead_is_behind_in_nothing(own: dict[str, Any], other: dict[str, Any], said: str) -> None:
    assert ahead(cell("lmkd", own), [cell("earlyoom", other)]) == said


def test_after_a_switch_the_first_foreground_counts_too() -> None:
    own, other = {"switch_gap_worst_ms": 42.0}, {"switch_gap_worst_ms": 22.0, "gap_worst_ms": 210.0}
    cells = [replace(each, scenario="switch") for each in (cell("lmkd", own), cell("none", other))]
    assert (cells[1].gap_ms, cells[1].other_gap_ms) == (22.0, 210.0)
    assert ahead(cells[0], cells[1:]) == "yes"


def test_a_board_that_died_is_said_and_no_figure() -> None:
    dead = Cell("grow-30-comp", "none", ("guest_died",), ())
    assert dead.trouble == "board died" and dead.gap_ms is None and dead.kept is None and not dead.alive
    assert ahead(cell("lmkd", {}), [dead]) == "yes"


def test_sizes_follow_the_board_and_rates_do_not() -> None:
    assert scaled_load("--small n=150,size=1M,adj=900", 64) == "--small n=150,size=256K,adj=900"
    assert scaled_load("--grow rate=30M,limit=0,delay=3", 512) == "--grow rate=30M,limit=0,delay=3"
    assert find("grow-30-comp@256x2").cpus == 2 and find("small-150@64").mem_mb == 64


def test_every_row_has_its_runs() -> None:
    wanted = wanted_jobs(Seeds(own=5, peers=1, sized=1))
    assert len({job.key for job in wanted}) == len(wanted)
    assert len(wanted) == len(SCENARIO_NAMES) * (5 + len(MANAGERS) - 1) + 3 + 2 * len(RESIZED)


def test_a_stamp_is_of_its_own_scenario_and_bounds_are_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("grow-30-comp", "none", 1)
    before, other = stamp(job), stamp(Job("grow-5-comp", "none", 1))
    scenario = find(job.scenario)
    assert before != other and stamp(Job("grow-30-comp", "lmkd", 1)) != before
    monkeypatch.setattr(results, "find", lambda _: replace(scenario, bounds=(), about="the same"))
    assert stamp(job) == before
    monkeypatch.setattr(results, "find", lambda _: replace(scenario, seconds=scenario.seconds + 1))
    assert stamp(job) != before


def test_a_timeline_names_what_was_done() -> None:
    samples = [[t / 10, 100_000 - t, 20_000, 0, 80_000, 1000, 3000] for t in range(100)]
    marks = [Mark(3, "load", "grow"), Mark(4, "trim", "bg-0"), Mark(4.1, "trim", "bg-1"), Mark(5, "lmkd", "grow")]
    each = Timeline("lmkd", "lmkd <fine>", 10, 256_000, samples, [[5.0, 1200.0]], marks)
    picture = draw_timelines("x", "y", [each], 10)
    for text in ("grow begins", "stores bg-0 and bg-1", "lmkd ends grow", "1200 ms", "lmkd &lt;fine&gt;"):
        assert text in picture, text
