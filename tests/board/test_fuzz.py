"""Hostile clients on both control sockets while memory runs out: nobody else notices, and nothing stays behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import events, figure, record_of
from tests.board.scenario import Result
from tests.board.scenarios import CROWDED_MS
from tests.board.trials import MESSAGES

GROWS_KIB = (512, 512, 2048)
"""Guard, helper, talker. Python takes 256 KiB at a time, so two of these may be new to the guard, which levels off at
5.1 MB; 50 bytes kept of each message would already be more. The talker's heap stays as large as it was at most: a
hundred clients who do not read have up to 16 KiB each waiting for them."""
GUARD_WAITS_US = 1000
ANSWERED_MS = 3000

pytestmark = [pytest.mark.board, pytest.mark.runs("fuzz")]


def step(result: Result, name: str) -> dict[str, Any]:
    return record_of(result.outcome, "fuzz", step=name)


def said(result: Result) -> dict[str, Any]:
    """What the hostile clients, and the one among them that is none, have seen."""
    found: dict[str, Any] = step(result, "clients")["said"]
    return found


def test_each_socket_got_its_messages_and_no_process_fell_over_one(result: Result) -> None:
    assert step(result, "clients")["exit"] == 0
    assert min(said(result)["sent"]) >= MESSAGES and said(result)["replies"][0] >= MESSAGES / 4, said(result)
    before, after = ([process["pid"] for process in step(result, when)["processes"]] for when in ("before", "after"))
    assert len(before) == 3 and before == after
    assert step(result, "log")["tracebacks"] == 0
    assert len(events(result.outcome, "helper_started")) == 1


def test_android_s_socket_is_closed_to_those_without_rights(result: Result) -> None:
    assert said(result)["forbidden"] > 0 and said(result)["by_root"][1] == said(result)["sent"][1]
    assert step(result, "clients")["status"]["android"]["refused"] > MESSAGES / 4


def test_nothing_grows(result: Result) -> None:
    sizes = [[process["rss_kib"] for process in step(result, when)["processes"]] for when in ("before", "after")]
    grown = [after - before for before, after in zip(*sizes, strict=True)]
    assert all(more <= most for more, most in zip(grown, GROWS_KIB, strict=True)), sizes


def test_the_guard_is_as_quick_as_ever(result: Result) -> None:
    """The time that it waited for the processor, each time that it ran; and what the foreground felt of it all."""
    (before, *_), (after, *_) = (step(result, when)["waits"] for when in ("before", "after"))
    times = after["times"] - before["times"]
    assert times > 20 and (after["waited_ns"] - before["waited_ns"]) / times / 1000 <= GUARD_WAITS_US, (before, after)
    assert figure(result, "gap_worst_ms") <= CROWDED_MS, figure(result, "gaps_worst")


def test_who_must_die_meanwhile_dies_in_time(result: Result) -> None:
    assert figure(result, "foreground_alive") is True and figure(result, "oom_kill_delta") == 0
    assert figure(result, "grow_died") is True and figure(result, "background_kept") >= 6
    begun_s, ended_s = (step(result, when)["uptime_s"] for when in ("before", "after"))
    died = [event["t_ms"] / 1000 for event in events(result.outcome, "kill") if event["name"] == "grow"]
    assert any(begun_s <= at_s <= ended_s for at_s in died), (begun_s, died, ended_s)


def test_who_asks_what_is_right_is_answered_meanwhile_and_afterwards(result: Result) -> None:
    for way, found in said(result)["asked"].items():
        # A new connection may be turned away while others that root has left still have something to be read.
        turned_away = found["asked"] // 10 if way.startswith("new") else 0
        assert found["asked"] >= 5 and found["unanswered"] <= turned_away, (way, found)
        assert found["p99_us"] <= ANSWERED_MS * 1000, (way, found)
    assert step(result, "clients")["status"]["level"] in ("calm", "low")
