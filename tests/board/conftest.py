"""Owns how tests get at boards: ``@pytest.mark.runs("NAME")`` and the fixture ``result`` (or ``boards`` for all)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import pytest

from tests.board.boards import Boards
from tests.board.scenario import Result

WANTED = pytest.StashKey[Iterable[str]]()
TERMINAL = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "runs(name): the board whose result the test looks at")
    # Boards take minutes: their progress goes past pytest's capture, to where the terminal is now.
    config.stash[TERMINAL] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[TERMINAL])


def pytest_collection_finish(session: pytest.Session) -> None:
    marks = (mark for item in session.items for mark in item.iter_markers("runs"))
    session.config.stash[WANTED] = {name for mark in marks for name in mark.args}


@pytest.fixture(scope="session")
def boards(pytestconfig: pytest.Config) -> Iterator[Boards]:
    def say(text: str) -> None:
        os.write(pytestconfig.stash[TERMINAL], f"\nboard: {text}".encode())

    all_boards = Boards(pytestconfig.stash[WANTED], say)
    yield all_boards
    all_boards.close()


@pytest.fixture
def result(boards: Boards, request: pytest.FixtureRequest) -> Result:
    mark = request.node.get_closest_marker("runs")
    assert mark is not None, "the test names no board: @pytest.mark.runs(NAME)"
    if getattr(request.node, "execution_count", 1) > 1:  # pytest-rerunfailures counts from 1
        boards.again(mark.args[0])
    found = boards.result(mark.args[0])
    outcome = found.outcome
    assert outcome.status == "finished", (
        f"{found.scenario.name}: {outcome.status} after {outcome.host_seconds:.0f} s, "
        f"missing {outcome.missing or 'nothing'}; the console ends with\n{outcome.console_tail()}"
    )
    return found
