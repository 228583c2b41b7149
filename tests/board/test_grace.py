"""One that is about to be killed hears of it in time to save its work, on a connection that a reload has left alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import events, record_of
from tests.board.scenario import Result

pytestmark = [pytest.mark.board, pytest.mark.runs("grace")]

TOLD_MS = 100
"""Of a grace of 500 ms; with memory short it takes a few."""


def step(result: Result, name: str) -> dict[str, Any]:
    return record_of(result.outcome, "talk", step=name)


def test_the_connection_is_older_than_the_reload(result: Result) -> None:
    assert step(result, "reload") == {"kind": "talk", "step": "reload", "registered": True, "reloaded": True}
    assert step(result, "saver")["said"] is not None


def test_it_is_told_after_sigterm_and_saves_its_work_before_its_grace_is_over(result: Result) -> None:
    seen = step(result, "saver")
    said = seen["said"]
    assert seen["saved"] is True
    assert (said["killed"], said["grace_ms"]) == (False, 500)
    assert said["asked_ms"] > 0
    assert said["told_ms"] - said["asked_ms"] < TOLD_MS, said
    assert said["saved_ms"] - said["asked_ms"] < said["grace_ms"], said


def test_it_was_the_one_that_was_least_important_and_nobody_had_to_insist(result: Result) -> None:
    pid = step(result, "saver")["pid"]
    first = events(result.outcome, "kill")[0]
    assert (first["pid"], first["signal"]) == (pid, "SIGTERM")
    assert all(event["pid"] != pid for event in events(result.outcome, "escalate"))


def test_without_a_grace_only_who_registered_it_is_told(result: Result) -> None:
    seen = step(result, "saver")
    assert seen["launcher"]["killed"] is True and seen["launcher"]["grace_ms"] == 0
