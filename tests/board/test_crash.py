"""The store's commands killed at each of their effects on a kernel: what the next one makes of it, byte by byte."""

from __future__ import annotations

import pytest

from tests.board.records import record_of
from tests.board.scenario import Result

LEAST = {
    "zram up": 12, "zram down": 8, "zram move": 10, "zram move back": 10, "zram up beside": 14,
    "zram down beside": 9, "zswap up": 24, "zswap down": 14, "zswap up beside": 26, "zswap down beside": 15,
}  # fmt: skip
"""Ways, and fewer effects than each has: fewer still, and the kills would not be what they are meant to be."""
TIMED = ("zram up", "zram down", "zram move", "zram move back", "zswap up", "zswap down")
pytestmark = [pytest.mark.board, pytest.mark.runs("crash")]


@pytest.mark.parametrize("way", LEAST)
def test_killed_at_any_effect_it_leaves_what_the_next_command_finishes(result: Result, way: str) -> None:
    found = record_of(result.outcome, "crash", way=way)
    assert found["wrong"] == []
    assert found["effects"] >= LEAST[way]
    assert found["kills"] > found["effects"]


@pytest.mark.parametrize("way", TIMED)
def test_killed_at_some_time_or_while_pages_come_back_too(result: Result, way: str) -> None:
    assert record_of(result.outcome, "crash", way=way)["timed"] >= 1
