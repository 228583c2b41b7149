"""Moving the store: the old device is drained and removed; a crash anywhere is finished by the next start."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from lmkd.errors import StoreError
from lmkd.kernel import swap, zram
from lmkd.store.dry_run import DryRunEffects
from lmkd.store.move import improve, move
from lmkd.store.record import store_path
from lmkd.store.zram_store import bring_up, status, take_down
from lmkd.values import replace
from tests.unit.store.fakes import SPEC, Board, Crash, FakeKernel, Reports, header_of, refusal

DENSER = replace(SPEC, algorithm="zstd")
PICKED = replace(SPEC, preferred="zstd")
"""What ``auto`` means after a trial."""


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board whose store is up and holds something."""
    made = Board(tmp_path)
    bring_up(made.roots, SPEC, Reports(), FakeKernel(made))
    made.store(0, orig_kib=20_000, used_kib=6000)
    return made


def note(board: Board) -> dict[str, object]:
    found = json.loads(store_path(board.roots).read_text())
    assert isinstance(found, dict)
    return found


def is_moved(board: Board) -> None:
    """Only the new device is left, and it is known for lmkd's own."""
    state = status(board.roots)
    assert (state.device, state.algorithm, state.foreign) == ("zram1", "zstd", False)
    assert [entry.path for entry in swap.swaps(board.roots)] == ["/dev/zram1"]
    assert board.text(0, "disksize") == "0"
    assert (note(board)["device"], note(board)["phase"], note(board)["draining"]) == ("zram1", "up", "")
    assert note(board)["hot_added"] is True


def test_the_new_one_is_up_at_a_higher_priority_before_the_old_one_is_drained(board: Board) -> None:
    kernel = FakeKernel(board)
    state = move(board.roots, DENSER, Reports(), kernel)
    verbs = [entry.split()[0] for entry in kernel.log]
    assert verbs == [
        "hot_add", "node", "comp_algorithm", "disksize", "mem_limit", "header", "swapon", "nice", "swapoff", "reset",
    ]  # fmt: skip
    assert kernel.log[6] == "swapon 1 101" and kernel.log[8] == "swapoff 0"
    assert (state.device, state.algorithm) == ("zram1", "zstd")
    is_moved(board)


def test_an_old_one_that_lmkd_had_added_is_removed(board: Board) -> None:
    move(board.roots, DENSER, Reports(), FakeKernel(board))
    board.size(0, 4096, b"taken")
    kernel = FakeKernel(board)
    move(board.roots, SPEC, Reports(), kernel)
    assert kernel.log[-3:] == ["swapoff 1", "reset 1", "hot_remove 1"]
    assert zram.devices(board.roots) == (0, 2)


STEPS = ("hot_add", "node", "comp_algorithm", "disksize", "mem_limit", "header", "swapon", "nice", "swapoff", "reset")


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_is_finished_by_the_next_start(board: Board, step: str) -> None:
    kernel = FakeKernel(board)
    kernel.fail_at[step] = Crash()
    with pytest.raises(Crash):
        move(board.roots, DENSER, Reports(), kernel)
    began = step in ("nice", "swapoff", "reset")
    after = FakeKernel(board)
    state = bring_up(board.roots, SPEC, Reports(), after)
    assert state.adopted
    if began:
        is_moved(board)
        return
    assert state.device == "zram0"
    assert [entry.path for entry in swap.swaps(board.roots)] == ["/dev/zram0"]
    assert [number for number in zram.devices(board.roots) if number and board.text(number, "disksize") != "0"] == []


@pytest.mark.parametrize("step", STEPS)
def test_after_a_crash_at_any_step_the_store_can_be_taken_down_whole(board: Board, step: str) -> None:
    kernel = FakeKernel(board)
    kernel.fail_at[step] = Crash()
    with pytest.raises(Crash):
        move(board.roots, DENSER, Reports(), kernel)
    take_down(board.roots, Reports(), effects=FakeKernel(board))
    assert swap.swaps(board.roots) == ()
    assert all(board.text(number, "disksize") == "0" for number in zram.devices(board.roots))


@pytest.mark.parametrize("save", range(4))
def test_a_crash_at_any_note_is_finished_too(board: Board, save: int) -> None:
    class Forgetful(FakeKernel):
        saves = 0

        def save(self, path: Path, text: str) -> None:
            if self.saves == save:
                raise Crash
            self.saves += 1
            super().save(path, text)

    kernel = Forgetful(board)
    try:
        move(board.roots, DENSER, Reports(), kernel)
    except Crash:
        bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    assert len(swap.swaps(board.roots)) == 1
    in_use = status(board.roots).device
    sized = [number for number in zram.devices(board.roots) if board.text(number, "disksize") != "0"]
    assert [f"zram{number}" for number in sized] == [in_use]
    assert note(board)["device"] == in_use


def test_what_would_not_fit_stays_where_it_is(board: Board) -> None:
    board.memory(total_kib=241012, available_kib=10_000)
    kernel = FakeKernel(board)
    with pytest.raises(StoreError, match="20000 KiB are stored, and only"):
        move(board.roots, DENSER, Reports(), kernel)
    assert kernel.log == []


def test_a_drain_that_the_kernel_refuses_leaves_both_and_is_tried_again_when_there_is_room(board: Board) -> None:
    kernel = FakeKernel(board)
    kernel.fail_at["swapoff"] = refusal(errno.ENOMEM, "swapoff")
    with pytest.raises(StoreError):
        move(board.roots, DENSER, Reports(), kernel)
    assert len(swap.swaps(board.roots)) == 2
    board.memory(total_kib=241012, available_kib=0)
    reports = Reports()
    bring_up(board.roots, SPEC, reports, FakeKernel(board))
    assert "two stores" in str(reports.of("degraded")["cost"])
    assert note(board)["draining"] == "zram0"
    with pytest.raises(StoreError, match="two already"):
        move(board.roots, DENSER, Reports(), FakeKernel(board))
    board.memory(total_kib=241012, available_kib=150_000)
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    is_moved(board)


def test_a_second_one_that_cannot_be_made_leaves_the_first_as_it_was(board: Board) -> None:
    before = note(board)
    kernel = FakeKernel(board)
    kernel.fail_at["swapon"] = refusal(errno.EPERM, "swapon")
    with pytest.raises(StoreError):
        move(board.roots, DENSER, Reports(), kernel)
    assert note(board) == before
    assert status(board.roots).device == "zram0"
    assert zram.devices(board.roots) == (0,)


def test_without_a_store_of_its_own_there_is_nothing_to_move(tmp_path: Path) -> None:
    board = Board(tmp_path)
    with pytest.raises(StoreError, match="none is up"):
        move(board.roots, SPEC, Reports(), FakeKernel(board))
    board.size(0, 131072, header_of("other"))
    board.swap_on(0, 131072)
    with pytest.raises(StoreError, match="somebody else"):
        move(board.roots, SPEC, Reports(), FakeKernel(board))


def test_the_highest_priority_leaves_none_for_a_second(tmp_path: Path) -> None:
    board = Board(tmp_path)
    bring_up(board.roots, replace(SPEC, swap_priority=32767), Reports(), FakeKernel(board))
    with pytest.raises(StoreError, match="highest swap priority"):
        move(board.roots, SPEC, Reports(), FakeKernel(board))


def test_a_dry_run_only_says_so(board: Board) -> None:
    dry = DryRunEffects(board.roots)
    before = note(board)
    move(board.roots, DENSER, Reports(), dry)
    assert dry.actions[1] == "hot-add zram1" and "swapoff zram0" in dry.actions
    assert note(board) == before
    assert status(board.roots).device == "zram0"


def test_by_itself_it_moves_only_to_what_the_trial_picked(board: Board) -> None:
    kernel = FakeKernel(board)
    for spec in (SPEC, replace(PICKED, algorithm="lz4"), replace(PICKED, preferred=status(board.roots).algorithm)):
        assert improve(board.roots, spec, Reports(), kernel).device == "zram0"
    assert kernel.log == []
    assert improve(board.roots, PICKED, Reports(), kernel).algorithm == "zstd"
    is_moved(board)
    assert kernel.log.index("nice") < kernel.log.index("swapoff 0")


def test_by_itself_it_leaves_alone_what_is_not_its_own(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert improve(board.roots, PICKED, Reports(), FakeKernel(board)).kind == "none"
    board.size(0, 131072, header_of("other"))
    board.swap_on(0, 131072)
    assert improve(board.roots, PICKED, Reports(), FakeKernel(board)).foreign


def test_by_itself_it_wants_more_room_than_by_hand(board: Board) -> None:
    board.memory(total_kib=241012, available_kib=241012 // 4 + 19_000)
    kernel = FakeKernel(board)
    with pytest.raises(StoreError, match="20000 KiB are stored, and only 19000 KiB would fit in calm"):
        improve(board.roots, PICKED, Reports(), kernel)
    assert kernel.log == []
    move(board.roots, DENSER, Reports(), kernel)


@pytest.mark.parametrize("step", STEPS)
def test_a_move_that_was_ended_half_way_is_finished_by_the_next(board: Board, step: str) -> None:
    kernel = FakeKernel(board)
    kernel.fail_at[step] = Crash()
    with pytest.raises(Crash):
        improve(board.roots, PICKED, Reports(), kernel)
    after = FakeKernel(board)
    assert improve(board.roots, PICKED, Reports(), after).algorithm == "zstd"
    assert len(swap.swaps(board.roots)) == 1
    assert not [line for line in after.log if "swapoff" in line] or "nice" in after.log
    state = status(board.roots)
    sized = [number for number in zram.devices(board.roots) if board.text(number, "disksize") != "0"]
    assert [f"zram{number}" for number in sized] == [state.device]
