"""Applications that are told: a hundred of them, half of which never read, on a board where memory gets short."""

from __future__ import annotations

import pytest

from tests.board.listeners import changes, in_order
from tests.board.records import events, figure, percentile, record_of
from tests.board.scenario import Result
from tests.board.scenarios import CROWDED_MS

READERS, ALL = 50, 100
NOTICE_P99_MS = 10.0
GUARD_MAX_KIB = 7 * 1024
DECIDE_P99_US = 10_000

pytestmark = [pytest.mark.board, pytest.mark.runs("listeners")]


def test_all_that_read_are_told_of_every_change(result: Result) -> None:
    told = record_of(result.outcome, "talk", step="listeners")
    assert f"ready {ALL};" in told["said"] and "ended 0;" in told["said"], told["said"]
    found = changes(result.outcome)
    assert {"low", "moderate", "critical", "calm"} <= {change.level for change in found}
    assert [len(change.read_ms) for change in found] == [READERS] * len(found)


def test_it_takes_ten_milliseconds_at_most(result: Result) -> None:
    late = [each for change in changes(result.outcome) for each in change.sent_ms]
    assert percentile(late, 99) <= NOTICE_P99_MS, sorted(late)[-20:]


def test_the_foreground_and_the_guard_do_not_notice(result: Result) -> None:
    assert figure(result, "gap_worst_ms") <= CROWDED_MS, figure(result, "gaps_worst")
    assert figure(result, "oom_kill_delta") == 0
    assert all(event["decide_us"] <= DECIDE_P99_US for event in events(result.outcome, "kill"))


def test_the_guard_stays_small_with_a_hundred_registered(result: Result) -> None:
    guard = in_order(result)[0]
    assert guard["pss_kib"] <= GUARD_MAX_KIB, figure(result, "processes")
