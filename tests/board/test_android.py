"""A client of Android's protocol on a board: it registers, is ranked, subscribes, sees a kill under real pressure."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import events, record_of
from tests.board.scenario import Result

pytestmark = [pytest.mark.board, pytest.mark.runs("android")]


def step(result: Result, name: str) -> dict[str, Any]:
    return record_of(result.outcome, "android", step=name)


def said(lines: list[str], word: str) -> list[list[int]]:
    """The numbers of the client's lines that begin with this word."""
    return [[int(one) for one in line.split()[1:]] for line in lines if line.split()[0] == word]


def test_what_it_registers_is_ranked_and_written_to_the_kernel_before_its_next_answer(result: Result) -> None:
    found = step(result, "registered")
    assert found["answered"] is True
    assert found["adj"] == [priority for _, priority in found["ranked"]] == [900, 500, 500]
    assert found["ranked"][0][0] == 1


def test_another_client_neither_changes_nor_removes_what_is_not_its_own(result: Result) -> None:
    found = step(result, "owned")
    assert found["answered"] is True and found["adj"] == [900, 500, 500]


def test_under_pressure_its_least_important_dies_and_every_subscriber_is_told(result: Result) -> None:
    found = step(result, "killed")
    first = next(event for event in events(result.outcome, "kill") if not event["dry_run"])
    assert (first["pid"], first["priority"]) == (found["pid"], 900)
    assert said(found["owner"], "killed")[0] == said(found["watcher"], "killed")[0] == [found["pid"], 10101]
    # The watcher subscribed before it asked, so the answer came first: none had died.
    assert said(found["watcher"], "reply") == [[4, 0]]
    assert said(found["counter"], "reply")[0] == [4, 1] and said(found["counter"], "reply")[2] == [10, 0]


def test_the_statistics_of_the_kill_are_its_record_s(result: Result) -> None:
    found = step(result, "killed")
    (line,) = [line for line in found["owner"] if line.startswith("statistics keeper ") and " 10101 900 " in line]
    uid, adj, lowest, free_kib, _, cause, _, _, _, _, resident, _, swapped, started = map(int, line.split()[2:])
    assert (uid, adj, lowest) == (10101, 900, -999) and free_kib >= 0 and cause in (3, 4, 8)
    assert resident + swapped > 50 << 20 and started > 0


def test_the_configuration_is_read_anew_and_connections_go_on(result: Result) -> None:
    found = step(result, "reloaded")
    assert said(found["props"], "reply") == [[7, 0]] and events(result.outcome, "reload")
    assert said(found["later"], "reply") == [[4, 0]]
    assert said(found["later"], "killed") == said(found["owner"], "killed")[-1:] == [[found["pid"], 10103]]


def test_a_client_of_a_later_release_gets_the_rss(result: Result) -> None:
    found = step(result, "recent")
    assert said(found["props"], "reply") == [[7, 0]] and said(found["recent"], "reply") == [[4, 0]]
    ((pid, uid, resident_kib),) = said(found["recent"], "killed")
    assert (pid, uid) == (found["pid"], 10103) and resident_kib > 4000
