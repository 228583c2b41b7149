"""Telling many: in which order, and for how long ahead of everybody else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lmkd.control.hands import ABOUT_TO_KILL, LEVEL, LevelNotice
from lmkd.control.subscribers import AT_ONCE, AWAKE_MS, MORE, PATIENCE_MS, REST_MS, Subscribers
from lmkd.kernel import clock


class Told:
    """Connections that note who is told when, by a clock of their own; each takes ``each_ms``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int, each_ms: float = 0.1) -> None:
        self.t_ms = 0.0
        self.order: list[int] = []
        self.payloads: list[Any] = []
        self.gave_way_ms: list[float] = []
        self.slow: set[int] = set()
        self.unread: set[int] = set()
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
            self.payloads.append(payload)
            self.t_ms += self._each_ms
            self.unread |= {number} & self.slow

        session = SimpleNamespace(processes={1000 + number}, waiting=False)
        wanted = frozenset((LEVEL, ABOUT_TO_KILL))
        return SimpleNamespace(
            notify=notify, unsent=False, session=session, interests=wanted, descriptor=number,
            has_unread=lambda: number in self.unread,
        )  # fmt: skip

    def next_group(self) -> list[int]:
        """Who is told after the next rest."""
        rest_ms = self.subscribers.rest_ms(self.t_ms)
        assert rest_ms is not None
        told = len(self.order)
        self.subscribers.tell_more(self.t_ms + rest_ms - 0.01)
        assert len(self.order) == told, "before the rest was over"
        self.t_ms += rest_ms
        self.subscribers.tell_more(self.t_ms)
        return self.order[told:]

    def later(self) -> list[list[int]]:
        """The same, until nobody waits."""
        groups = []
        while self.subscribers.rest_ms(self.t_ms) is not None:
            groups.append(self.next_group())
        return groups


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
    assert PATIENCE_MS < told.gave_way_ms[0] <= PATIENCE_MS + 1


def notice(level: str, previous: str) -> LevelNotice:
    return LevelNotice(level, previous, 5.0, 4096, None, "because")


def test_of_a_level_some_are_told_at_once_and_the_rest_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, 50, each_ms=0.01)
    told.subscribers.spread(notice("low", "calm"), 0.0)
    assert told.order == list(range(AT_ONCE))
    groups = told.later()
    assert [number for group in groups for number in group] == list(range(AT_ONCE, 50))
    assert len(told.gave_way_ms) == len(groups), "only the first go ahead of everybody else"
    assert {len(group) for group in groups[:-1]} == {MORE} and told.t_ms >= (len(groups) - 1) * REST_MS


def test_no_more_are_awake_at_a_time_than_the_processor_can_bear(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, AT_ONCE + 3 * MORE, each_ms=0.01)
    told.slow = {AT_ONCE, AT_ONCE + 1}
    told.subscribers.spread(notice("low", "calm"), 0.0)
    assert [len(told.next_group()) for _ in range(3)] == [MORE, MORE - 2, MORE - 2]
    told.unread.clear()
    assert [len(group) for group in told.later()] == [MORE]


def test_who_does_not_wake_holds_up_the_others_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, AT_ONCE + 2 * MORE, each_ms=0.01)
    told.slow = set(range(AT_ONCE, AT_ONCE + MORE))
    told.subscribers.spread(notice("low", "calm"), 0.0)
    groups = told.later()
    assert [len(group) for group in groups if group] == [MORE, MORE]
    assert AWAKE_MS <= told.t_ms <= AWAKE_MS + 3 * REST_MS


def test_who_has_not_read_the_last_one_either_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, AT_ONCE + 3 * MORE, each_ms=0.01)
    told.unread = set(range(AT_ONCE, AT_ONCE + 2 * MORE))
    told.subscribers.spread(notice("low", "calm"), 0.0)
    assert [len(group) for group in told.later()] == [MORE] * 3


def test_few_never_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, AT_ONCE)
    told.subscribers.spread(notice("low", "calm"), 0.0)
    assert len(told.order) == AT_ONCE and told.subscribers.rest_ms(0.0) is None


def test_who_does_not_read_is_not_woken_so_he_needs_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, 50)
    for number in range(1, 50):
        told.connections[number].unsent = True
    told.subscribers.spread(notice("low", "calm"), 0.0)
    assert sorted(told.order) == list(range(50)) and told.order[0] == 0
    assert told.gave_way_ms == [told._each_ms], "who was woken need not wait for them"


def test_who_waits_is_told_the_last_level_once_and_which_he_was_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, AT_ONCE + 1)
    told.subscribers.spread(notice("low", "calm"), 0.0)
    told.subscribers.spread(notice("critical", "low"), 1.0)
    assert told.later() == [[AT_ONCE]]
    assert (told.payloads[-1].level, told.payloads[-1].previous) == ("critical", "calm")


def test_who_waits_hears_nothing_of_what_was_only_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, AT_ONCE + 1)
    told.subscribers.spread(notice("low", "calm"), 0.0)
    told.subscribers.spread(notice("calm", "low"), 1.0)
    assert told.later() == [] and len(told.order) == 2 * AT_ONCE


def test_who_has_gone_or_changed_his_mind_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, AT_ONCE + 2)
    told.subscribers.spread(notice("low", "calm"), 0.0)
    del told.connections[AT_ONCE]
    told.connections[AT_ONCE + 1].interests = frozenset()
    assert told.later() == [[]]


def test_when_there_is_no_later_all_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch, 50)
    told.subscribers.spread(notice("low", "calm"), 0.0)
    told.subscribers.tell_rest()
    assert told.order == list(range(50)) and told.subscribers.rest_ms(0.0) is None
