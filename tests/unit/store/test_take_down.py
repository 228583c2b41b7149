"""Taking the store down: only lmkd's own, only when it fits, and everything back as it was."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from lmkd.errors import StoreError
from lmkd.kernel import zram
from lmkd.store.record import store_path
from lmkd.store.sysctls import kept_path
from lmkd.store.zram_store import bring_up, status, take_down
from tests.unit.store.fakes import SPEC, VM_DEFAULTS, Board, Crash, FakeKernel, Reports, header_of, refusal


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board whose store is up and empty."""
    made = Board(tmp_path)
    bring_up(made.roots, SPEC, Reports(), FakeKernel(made))
    return made


def test_down_undoes_all_that_up_did(board: Board) -> None:
    assert board.sysctl("swappiness") == 200
    kernel = FakeKernel(board)
    take_down(board.roots, Reports(), effects=kernel)
    assert kernel.log == ["swapoff 0", "reset 0"]
    assert status(board.roots).kind == "none"
    assert {name: board.sysctl(name) for name in VM_DEFAULTS} == VM_DEFAULTS
    assert not store_path(board.roots).exists()
    assert not kept_path(board.roots).exists()


def test_a_device_that_lmkd_added_is_removed(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.size(0, 4096, b"taken")
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    take_down(board.roots, Reports(), effects=FakeKernel(board))
    assert zram.devices(board.roots) == (0,)


def test_down_is_refused_with_the_numbers_while_the_stored_pages_would_not_fit(board: Board) -> None:
    board.store(0, orig_kib=65536, used_kib=6000)
    board.memory(total_kib=241012, available_kib=60000)
    kernel = FakeKernel(board)
    with pytest.raises(StoreError, match="65536 KiB are stored, and only 50937 KiB would fit") as caught:
        take_down(board.roots, Reports(), effects=kernel)
    assert "(60000 KiB available + 6000 KiB that the store gives back - 15063 KiB margin" in str(caught.value)
    assert kernel.log == []
    assert board.sysctl("swappiness") == 200


def test_down_goes_ahead_when_it_just_fits(board: Board) -> None:
    board.store(0, orig_kib=65536, used_kib=6000)
    board.memory(total_kib=241012, available_kib=65536 - 6000 + 15063)
    take_down(board.roots, Reports(), effects=FakeKernel(board))
    assert status(board.roots).kind == "none"


def test_force_does_not_ask_whether_it_fits(board: Board) -> None:
    board.store(0, orig_kib=65536, used_kib=6000)
    board.memory(total_kib=241012, available_kib=100)
    take_down(board.roots, Reports(), force=True, effects=FakeKernel(board))
    assert status(board.roots).kind == "none"


def test_an_empty_store_goes_down_however_little_memory_there_is(board: Board) -> None:
    board.memory(total_kib=241012, available_kib=0)
    take_down(board.roots, Reports(), effects=FakeKernel(board))
    assert status(board.roots).kind == "none"


def test_a_swapoff_that_the_kernel_refuses_leaves_the_store_up(board: Board) -> None:
    kernel = FakeKernel(board)
    kernel.fail_at["swapoff"] = refusal(errno.ENOMEM, "swapoff")
    with pytest.raises(StoreError, match="ENOMEM"):
        take_down(board.roots, Reports(), effects=kernel)
    assert status(board.roots).device == "zram0"
    assert json.loads(store_path(board.roots).read_text())["phase"] == "up"
    assert board.sysctl("swappiness") == 200


def test_a_crash_after_swapoff_is_finished_by_the_next_down(board: Board) -> None:
    crashing = FakeKernel(board)
    crashing.fail_at["reset"] = Crash()
    with pytest.raises(Crash):
        take_down(board.roots, Reports(), effects=crashing)
    reports = Reports()
    take_down(board.roots, reports, effects=FakeKernel(board))
    assert board.text(0, "disksize") == "0"
    assert board.sysctl("swappiness") == 60
    assert "store_reset" in reports.names()


def test_a_store_of_somebody_else_stays_up_but_the_tunables_go_back(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.size(0, 131072, header_of("zram0"))
    board.swap_on(0, 131068)
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    assert board.sysctl("swappiness") == 200
    kernel = FakeKernel(board)
    with pytest.raises(StoreError, match="set up by somebody else"):
        take_down(board.roots, Reports(), effects=kernel)
    assert kernel.log == []
    assert board.sysctl("swappiness") == 60


def test_down_with_nothing_up_is_fine(tmp_path: Path) -> None:
    board = Board(tmp_path)
    reports = Reports()
    take_down(board.roots, reports, effects=FakeKernel(board))
    assert reports.names() == []


def test_two_lmkds_never_change_the_store_at_once(board: Board) -> None:
    kernel = FakeKernel(board)
    with FakeKernel(board).lock(), pytest.raises(StoreError, match="another lmkd is changing the store"):
        take_down(board.roots, Reports(), effects=kernel)
    assert kernel.log == []
    take_down(board.roots, Reports(), effects=kernel)
    assert status(board.roots).kind == "none"
