"""Telling many: in which order, and for how long ahead of everybody else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lmkd.control.hands import ABOUT_TO_KILL, LEVEL
from lmkd.control.subscribers import LOOK_EVERY, PATIENCE_MS, Subscribers
from lmkd.kernel import clock


class Told:
    """Connections that note who is told when, by a clock of their own; each takes ``each_ms``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int, each_ms: float = 0.1) -> None:
        self.t_ms = 0.0
        self.order: list[int] = []
        self.gave_way_ms: list[float] = []
        self._each_ms = each_ms
        monkeypatch.setattr(clock, "now_ms", lambda: self.t_ms)
        self.connections = {number: self._connection(number) for number in range(count)}
        self.subscribers = Subscribers(
            self.connections, lambda connection, now_ms: None, lambda connection: None, lambda: None,
            lambda: self.gave_way_ms.append(self.t_ms),
        )  # fmt: skip

    def _connection(self, number: int) -> Any:
        def notify(kind: str, payload: object) -> None:
            self.order.append(number)
            self.t_ms += self._each_ms

        session = SimpleNamespace(processes={1000 + number})
        wanted = frozenset((LEVEL, ABOUT_TO_KILL))
        return SimpleNamespace(notify=notify, unsent=False, session=session, interests=wanted)


def test_those_that_read_are_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, 6)
    for number in (0, 3):
        told.connections[number].unsent = True
    told.subscribers.notify(LEVEL, None, 0.0)
    assert told.order == [1, 2, 4, 5, 0, 3]


def test_of_an_end_only_those_are_told_who_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, 6)
    told.subscribers.notify(ABOUT_TO_KILL, None, 0.0, 1004)
    assert told.order == [4]


def test_a_hundred_are_told_ahead_of_everybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, 100, each_ms=PATIENCE_MS / 101)
    told.subscribers.notify(LEVEL, None, 0.0)
    assert len(told.order) == 100 and told.gave_way_ms == []


def test_when_it_takes_too_long_the_others_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, 100, each_ms=1.0)
    told.subscribers.notify(LEVEL, None, 0.0)
    assert len(told.order) == 100
    assert PATIENCE_MS < told.gave_way_ms[0] <= PATIENCE_MS + LOOK_EVERY
