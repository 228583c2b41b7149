"""Applications that are told of pressure and give memory back: they live where one that is not told dies."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.board.records import events, figure, one_event, record_of
from tests.board.scenario import Result
from tests.board.scenarios import CROWDED_MS

pytestmark = pytest.mark.board
WORK_MS = 200
"""What an application needs from the notice until its cache is gone, with room for a slow machine."""


def talk(result: Result, step: str) -> dict[str, Any]:
    return record_of(result.outcome, "talk", step=step)


def dropped_mib(said: str) -> int:
    return sum(int(mib) for mib in re.findall(r"dropped (\d+) MiB", said))


def nobody_died(result: Result) -> None:
    assert events(result.outcome, "kill") == []
    assert figure(result, "background_kept") == 8 and figure(result, "grow_died") is False
    assert figure(result, "oom_kill_delta") == 0
    assert figure(result, "gap_worst_ms") <= CROWDED_MS


@pytest.mark.runs("cache-deaf")
def test_who_is_not_told_dies(result: Result) -> None:
    cache = talk(result, "cache")
    assert "full 40 MiB" in cache["said"] and not cache["alive"], cache
    assert one_event(result.outcome, "kill")["name"] == "cache"
    assert figure(result, "oom_kill_delta") == 0


@pytest.mark.runs("cache-deaf")
def test_there_was_time_to_give_it_back(result: Result) -> None:
    kill = one_event(result.outcome, "kill")
    shown = [event for event in events(result.outcome, "pressure") if event["t_ms"] < kill["t_ms"]]
    told = [event["t_ms"] for event in shown if event["pressure"] in ("moderate", "critical")]
    assert told and kill["t_ms"] - told[0] >= WORK_MS, shown


@pytest.mark.runs("cache-told")
def test_who_is_told_gives_40_mb_back_and_lives_and_so_does_everybody_else(result: Result) -> None:
    cache = talk(result, "cache")
    assert cache["alive"] and dropped_mib(cache["said"]) >= 35, cache
    nobody_died(result)


@pytest.mark.runs("cache-ways")
def test_a_signal_does_as_well(result: Result) -> None:
    cache = talk(result, "cache")
    assert cache["alive"] and "dropped 40 MiB (signal)" in cache["said"], cache
    nobody_died(result)


@pytest.mark.runs("cache-ways")
def test_so_do_a_program_that_lmkd_runs_and_a_script_that_looks_at_a_file(result: Result) -> None:
    assert re.match(r"(moderate|critical) cache \d+;", talk(result, "program")["said"]), talk(result, "program")
    assert talk(result, "script")["alive"] and talk(result, "thumbnails")["left"] == 0, talk(result, "script")
    assert one_event(result.outcome, "notified")["count"] == 1


@pytest.mark.runs("cache-ways")
def test_the_example_in_python_gives_its_cache_back(result: Result) -> None:
    python = talk(result, "python")
    assert "full 8 MiB" in python["said"] and python["alive"] and dropped_mib(python["said"]) >= 7, python


@pytest.mark.runs("cache-ways")
def test_the_c_client_asks_and_orders(result: Result) -> None:
    asked = talk(result, "requests")
    lines = asked["said"].split(";")
    assert re.match(r"(calm|low|moderate|critical) \d+ -?\d+ \d+ 0$", lines[0]) and lines[1] == "0", lines
    assert re.match(r"1 \d+ \S+ 9[05]0 cached \d+ \d+ \d+$", lines[2]) and lines[3] == "0", lines
    assert re.match(r"\d+ cache 990 950 $", lines[4]) and lines[5] == "0", lines
    assert re.match(r"\d+ cache 950 990 $", lines[6]) and lines[7] == "0", lines
    assert lines[8:10] == ["0  0 0 ", "0"], lines
    assert lines[11].startswith("1 ") and len(lines[10]) > len("0  0 0 "), "process 1 is nobody's to end"
    assert re.match(r"\d+ python3? 0 0 $", lines[12]) and lines[13] == "0", lines
    assert asked["alive"] is False
