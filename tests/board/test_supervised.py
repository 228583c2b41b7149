"""lmkd below those that start it again where there is no systemd: BusyBox and SysV's script, OpenRC, s6."""

from __future__ import annotations

from typing import Any

import pytest

from tests.board.records import record_of
from tests.board.scenario import Result

WAYS = ("sysv", "openrc", "s6")
BACK_S = 15.0

pytestmark = [pytest.mark.board, pytest.mark.long, pytest.mark.runs("supervised")]


def life(result: Result, way: str) -> dict[str, Any]:
    return record_of(result.outcome, "supervised", way=way)


@pytest.mark.parametrize("way", WAYS)
def test_it_is_started_out_of_the_kernel_s_reach_and_reloads(result: Result, way: str) -> None:
    found = life(result, way)
    assert (found["started"], found["answered"], found["reloaded"]) == (0, True, 0)
    assert found["adj"] == -1000 and found["swap"] == "/dev/zram0"


@pytest.mark.parametrize("way", WAYS)
def test_killed_it_is_started_again_and_adopts_its_store(result: Result, way: str) -> None:
    found = life(result, way)
    assert found["back"] is True and found["back_s"] - found["killed_s"] <= BACK_S
    assert found["adopted"] is True and (found["swap_back"], found["adj_back"]) == ("/dev/zram0", -1000)


@pytest.mark.parametrize("way", WAYS)
def test_stopped_it_stays_so_and_leaves_its_store(result: Result, way: str) -> None:
    found = life(result, way)
    assert (found["stopped"], found["ended"], found["stays_ended"]) == (0, True, True)
    assert found["swap_left"] == "/dev/zram0"


@pytest.mark.parametrize("way", ["sysv", "s6"])
def test_a_configuration_that_is_wrong_is_not_tried_again(result: Result, way: str) -> None:
    wrong = record_of(result.outcome, "supervised", way=way, step="wrong")
    assert wrong["ended"] is True and wrong["ended_s"] - wrong["begun_s"] <= BACK_S
