"""The live view as a person at the board's serial console sees it, after applications had to die."""

from __future__ import annotations

import re

import pytest

from tests.board.records import events, record_of
from tests.board.scenario import Result
from tests.board.trials import PICTURES
from tests.unit.cli.terminal import Terminal

PICTURE = re.compile(r"\x1b\[\?25l.*?\x1b\[\?25h", re.DOTALL)
LINE_BYTES_S = 11_520
"""What 115200 baud carry."""

pytestmark = [pytest.mark.board, pytest.mark.runs("priorities")]


def pictures(result: Result) -> list[str]:
    return PICTURE.findall(result.outcome.console)


def test_it_ends_well_and_leaves_the_console_as_it_was(result: Result) -> None:
    view = record_of(result.outcome, "view")
    assert (view["exit"], view["restored"]) == (0, True)
    assert 1 <= len(pictures(result)) <= PICTURES


def test_a_vt100_shows_how_many_died_and_who_is_next(result: Result) -> None:
    screen = Terminal()
    for sent in pictures(result):
        assert sent.isascii() and len(sent) <= LINE_BYTES_S / 2
        screen.feed(sent)
    lines = screen.text()
    assert not screen.scrolled and screen.cursor and all(len(line) < 80 for line in lines)
    assert re.match(r"lmkd +[A-Z]+ +headroom [0-9.]+ MB, [0-9]+% of RAM", lines[0]), lines
    assert any(line.startswith("anonymous #") for line in lines) and "q quit" in lines[-1]
    died = len({event["seq"] for event in events(result.outcome, "kill")})
    heading = next(line for line in lines if line.startswith("LATELY"))
    assert int(heading.split()[1]) >= died > 0
    assert re.match(r"\d\d:\d\d:\d\d [a-z]", lines[lines.index(heading) + 1]), lines
