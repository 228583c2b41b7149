"""The board of a 64-bit processor: how it is asked for, what it is made of, and that lmkd holds there.

Sizes, call numbers and layouts that a 32-bit board never shows; zswap's layouts and restart: test_zswap.py.
"""

from __future__ import annotations

import pytest

from tests.board.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE
from tests.board.archive import DEFAULT_INIT, DEFAULT_SUITE, board_packages
from tests.board.boards import find
from tests.board.image import base_key
from tests.board.records import events, figure, one_event
from tests.board.scenario import Result
from tests.board.scenarios import CROWDED_MS, LEAN, LEAN_64

GROWTH = "grow-30-comp@arm64"

pytestmark = pytest.mark.board


def test_a_name_asks_for_an_architecture_and_only_the_bound_on_memory_changes() -> None:
    plain, wide = find("grow-30-comp"), find(GROWTH)
    assert (plain.architecture, wide.architecture, wide.name) == (DEFAULT_ARCHITECTURE, "arm64", GROWTH)
    assert (wide.load, wide.seconds, wide.suite) == (plain.load, plain.seconds, DEFAULT_SUITE)
    assert [LEAN_64 if bound == LEAN else bound for bound in plain.bounds] == list(wide.bounds) != list(plain.bounds)
    assert find("grow-30-comp@armhf") == plain
    assert find("grow-30-comp@trixie@arm64").suite == "trixie"


def test_architectures_share_no_base() -> None:
    assert len({base_key(DEFAULT_SUITE, architecture=name) for name in ARCHITECTURES}) == len(ARCHITECTURES)
    differ = set(board_packages("arm64", DEFAULT_INIT)) ^ set(board_packages("armhf", DEFAULT_INIT))
    assert differ == {"linux-image-arm64", "linux-image-armmp"}


@pytest.mark.runs(GROWTH)
def test_with_64_bits_no_feature_of_the_kernel_is_missing(result: Result) -> None:
    assert [event["feature"] for event in events(result.outcome, "degraded")] == []
    assert 0 < one_event(result.outcome, "ready")["ms"] <= 3000
    assert figure(result, "manager_pss_kib") <= LEAN_64.value


@pytest.mark.runs(GROWTH)
def test_with_64_bits_what_grows_is_ended_in_time(result: Result) -> None:
    assert figure(result, "foreground_alive") is True and figure(result, "oom_kill_delta") == 0
    assert figure(result, "gap_worst_ms") <= CROWDED_MS, figure(result, "gaps_worst")
    assert figure(result, "grow_died") is True and figure(result, "background_kept") >= 6
    assert events(result.outcome, "trim") and events(result.outcome, "receipt")
