"""Records are told one at a time, with rests between them, and whoever begins to follow hears of no older ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lmkd.control.events import REST, Events
from lmkd.guard.record import Recorder
from lmkd.kernel import clock
from lmkd.model import Note
from lmkd.policy.step import State
from tests.unit.control.talking import Talking


class Told:
    """Subscribers that take 3 ms to be told, by a clock of their own; and the records that there are."""

    def __init__(self) -> None:
        self.t_ms = 1000.0
        self.told: list[tuple[float, int]] = []
        self.records: list[dict[str, Any]] = []

    def of(self, kind: str) -> list[object]:
        return [self] if kind == "event" else []

    @property
    def session(self) -> Any:
        return type("Session", (), {"waiting": False})

    def notify(self, kind: str, event: dict[str, Any], now_ms: float) -> None:
        self.told.append((now_ms, event["seq"]))
        self.t_ms += 3

    def next_event(self) -> int:
        return 0

    def follow(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        return self.records[sequence:], len(self.records)


def test_between_two_records_there_is_a_rest_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    monkeypatch.setattr(clock, "now_ms", lambda: told.t_ms)
    events = Events(told, told)  # type: ignore[arg-type]
    told.records = [{"seq": number} for number in range(3)]
    while told.t_ms < 1100:
        events.tell_next(told.t_ms)
        told.t_ms += 1
    times = [t_ms for t_ms, _ in told.told]
    assert [number for _, number in told.told] == [0, 1, 2]
    assert [later - sooner for sooner, later in pairwise(times)] == [3 + 3 * REST] * 2


@pytest.fixture
def talking(tmp_path: Path) -> Iterator[Talking]:
    made = Talking(tmp_path, proc="/proc")
    yield made
    made.close()


def test_a_level_does_not_wait_for_records_that_came_before(talking: Talking) -> None:
    client = talking.client()
    client.ask("subscribe", events=["*"])
    recorder = Recorder(talking.exchange)
    for number in range(3):
        recorder.write(Note("kill", (("pid", number),)), 1.0)
    talking.turn(0)
    talking.exchange.notices.tell_level("calm", State(level="low"), 5.0, "because")
    assert ["level" if "level" in client.receive() else "event" for _ in range(4)] == ["event", "level", *["event"] * 2]


def test_who_begins_to_follow_while_records_wait_hears_of_none_of_them(talking: Talking) -> None:
    first, second = talking.client(), talking.client()
    first.ask("subscribe", events=["*"])
    recorder = Recorder(talking.exchange)
    for number in range(3):
        recorder.write(Note("kill", (("pid", number),)), 1.0)
    talking.turn(0)
    second.ask("subscribe", events=["*"])
    recorder.write(Note("kill", (("pid", 3),)), 1.0)
    assert second.receive()["event"]["pid"] == 3
    assert [first.receive()["event"]["pid"] for _ in range(4)] == [0, 1, 2, 3]
