"""The zswap store on a kernel: no page is lost, its limit is never reached, and it leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import events, figure, one_event, record_of
from tests.board.scenario import Result
from tests.board.scenarios import CROWDED_MS

GROWTH = ("grow-30-comp-zswap", "grow-30-incomp-zswap")
LATER = "zswap@trixie"
ON_64_BIT = "zswap@arm64"
FORMS = ("zswap", "zswap-closed", LATER, ON_64_BIT)
pytestmark = pytest.mark.board


def each(names: tuple[str, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.runs(name)) for name in names])


each_form = each(FORMS)


def step(result: Result, name: str) -> dict[str, Any]:
    return record_of(result.outcome, "zswap", step=name)


@each_form
def test_every_byte_that_was_stored_comes_back(result: Result, name: str) -> None:
    assert figure(result, "checked_pages") > 6 * 12 * 256
    assert figure(result, "corrupt_pages") == 0
    for when in ("opened", "adopted", "down"):
        assert step(result, when)["intact"] is True, when


@each_form
def test_what_grows_is_ended_before_the_pool_is_full(result: Result, name: str) -> None:
    assert figure(result, "grow_died") is True
    assert figure(result, "oom_kill_delta") == 0
    loaded = step(result, "loaded")
    assert loaded["counters"]["pool_limit_hit"] == 0
    assert loaded["counters"]["written_back_pages"] == 0
    assert loaded["status"]["kind"] == "zswap"


@each(GROWTH)
def test_growth_without_end_is_held_as_with_zram(result: Result, name: str) -> None:
    assert figure(result, "gap_worst_ms") <= CROWDED_MS, figure(result, "gaps_worst")
    assert figure(result, "oom_kill_delta") == 0 and figure(result, "foreground_alive") is True
    assert figure(result, "background_kept") >= 6
    assert figure(result, "grow_died") is True
    assert one_event(result.outcome, "store_up")["pool"] == "zsmalloc"


@pytest.mark.runs("grow-30-incomp-zswap")
def test_pages_that_zswap_refuses_are_an_alarm_and_no_flood_of_records(result: Result) -> None:
    alarms = events(result.outcome, "store_rejects")
    assert 1 <= len(alarms) <= 4, alarms
    assert alarms[0]["pswpout"] > 100


@pytest.mark.runs("zswap")
def test_the_foreground_stays_smooth_meanwhile(result: Result) -> None:
    assert figure(result, "gap_worst_ms") <= CROWDED_MS, figure(result, "gaps_worst")


@each_form
def test_what_the_pool_refuses_stays_in_memory(result: Result, name: str) -> None:
    shut = step(result, "shut")
    refused = shut["counters"]["pool_limit_hit"] - step(result, "loaded")["counters"]["pool_limit_hit"]
    assert refused > 100, shut
    assert step(result, "opened")["intact"] is True


@each(("zswap", LATER, ON_64_BIT))
def test_behind_it_stands_a_device_of_errors(result: Result, name: str) -> None:
    assert step(result, "loaded")["status"]["backing"] == "device-mapper over zram0"
    assert step(result, "loaded")["swaps"] == ["/dev/dm-0"]


@pytest.mark.runs("zswap-closed")
def test_without_device_mapper_a_zram_that_takes_nothing_stands_behind_it(result: Result) -> None:
    assert step(result, "loaded")["status"]["backing"] == "closed zram"
    told = [event["feature"] for event in events(result.outcome, "degraded")]
    assert "device-mapper" in told, told


@each_form
def test_a_guard_that_was_killed_finds_its_store_again(result: Result, name: str) -> None:
    adopted = one_event(result.outcome, "store_adopted")
    assert adopted["pool"] == "zsmalloc" and adopted["swap_used_kib"] > 4096
    assert step(result, "adopted")["swaps"] == step(result, "loaded")["swaps"]


@each_form
def test_taken_down_it_leaves_nothing_behind(result: Result, name: str) -> None:
    before, down = step(result, "before"), step(result, "down")
    assert down["exit"] == 0
    assert (down["swaps"], down["maps"], down["sized"]) == ([], 0, 0)
    assert down["parameters"] == before["parameters"]
    assert down["writeback"] == before["writeback"]
    assert "zswap" not in down["notes"], down["notes"]


@pytest.mark.runs(LATER)
def test_on_a_later_kernel_nothing_is_tried_to_be_written_out(result: Result) -> None:
    before, loaded = step(result, "before"), step(result, "loaded")
    assert (before["writeback"], loaded["writeback"]) == (1, 0)
    assert loaded["parameters"]["shrinker_enabled"] == "N"
