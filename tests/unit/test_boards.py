"""The boards of a test session: each is run once, few of them a second time, and what ran last counts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.board import boards as module
from tests.board.boards import AGAIN_MAX, Boards

NAMES = ("grow-5-comp", "grow-30-comp", "grow-300-comp", "grow-5-incomp", "grow-30-incomp")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> tuple[Boards, list[str]]:
    numbers = itertools.count()
    said: list[str] = []
    monkeypatch.setattr(module, "ensure_tools", lambda say, architecture: None)
    monkeypatch.setattr(Boards, "_run", lambda self, name: f"{name} {next(numbers)}")
    return Boards(NAMES, said.append), said


def numbers_of(boards: Boards) -> list[int]:
    return sorted(int(str(result).split()[1]) for result in boards.results())


def test_a_board_is_run_once_and_once_again_where_it_is_asked_for(counted: Any) -> None:
    boards, said = counted
    assert numbers_of(boards) == [0, 1, 2, 3, 4]
    for _ in range(3):
        boards.again("grow-30-comp")
        assert str(boards.result("grow-30-comp")) == "grow-30-comp 5"
    assert sum("once again" in text for text in said) == 1


def test_of_a_session_only_few_are_run_again(counted: Any) -> None:
    boards, _ = counted
    boards.results()
    for name in NAMES:
        boards.again(name)
    assert numbers_of(boards)[-1] == len(NAMES) + AGAIN_MAX - 1
    boards.close()
