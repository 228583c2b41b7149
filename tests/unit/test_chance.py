"""Loads of chance: the same for the same seed, and never more to begin with than fits."""

from __future__ import annotations

import re

import pytest

from tests.board.chance import main, of_chance

APPS = re.compile(r"--background name=g\d,n=(\d+),size=(\d+)K")


def test_a_seed_is_always_the_same_load_and_another_is_another() -> None:
    assert of_chance(7) == of_chance(7)
    assert len({of_chance(seed).load for seed in range(50)}) == 50


def test_what_runs_before_anybody_grows_fits() -> None:
    for seed in range(200):
        scenario = of_chance(seed)
        asked = sum(int(count) * int(size) for count, size in APPS.findall(" ".join(scenario.load)))
        assert 0 < asked <= max(scenario.mem_mb * 1024 * 3 / 4, 24 * 4 * 1024), seed


def test_there_is_always_a_foreground_first_and_somebody_who_grows() -> None:
    for seed in range(200):
        front, *others = of_chance(seed).load
        assert front.startswith("--heartbeat") and any(one.startswith("--grow") for one in others)


def test_the_loads_can_be_read_without_running_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--load", "1", "2"]) == 0
    assert capsys.readouterr().out.count("--heartbeat") == 2
