"""The trial of algorithms: figures, equal pages, and nothing left behind whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.kernel import zram
from lmkd.kernel.direct_io import PageBuffer
from lmkd.store import trial, trial_note
from lmkd.store.find import find
from lmkd.store.trial_note import ADDING, AT_WORK, EMPTY, TrialNote, format_note, note_path, parse_note
from lmkd.store.zram_store import bring_up, status
from tests.unit.store.fakes import BOOT_ID, SPEC, Board, Crash, FakeKernel, Reports
from tests.unit.store.trial_fakes import PAGE, FakeTrial, sample_of

RAM_KIB = 241012


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board with the zram driver and one free device."""
    return Board(tmp_path)


def run(board: Board, kernel: FakeTrial, names: tuple[str, ...] = ()) -> trial.Outcome:
    return trial.run(board.roots, kernel, sample_of(), RAM_KIB, Reports(), names)


def nothing_left(board: Board) -> bool:
    is_alone = zram.devices(board.roots) == (0,) and board.text(0, "disksize") == "0"
    return is_alone and not note_path(board.roots).exists()


def test_every_algorithm_that_is_offered_gets_its_figures(board: Board) -> None:
    outcome = run(board, FakeTrial(board))
    assert [figure.name for figure in outcome.figures] == ["lzo", "lzo-rle", "lz4", "zstd"]
    lz4, zstd = outcome.figures[2:]
    assert (lz4.store_us, lz4.fetch_us, lz4.overhead_kib) == pytest.approx((25, 8, 20))
    assert (zstd.store_us, zstd.fetch_us, zstd.overhead_kib) == pytest.approx((200, 60, 1700))
    assert zstd.occupied_bytes < lz4.occupied_bytes < PAGE
    assert (outcome.failed, outcome.entry_bytes) == ((), 16)
    assert nothing_left(board)


def test_what_a_small_device_wastes_is_no_cost_of_a_page(board: Board) -> None:
    wasteful = FakeTrial(board)
    wasteful.fixed_bytes = 200_000
    assert run(board, wasteful).figures == run(board, FakeTrial(board)).figures


def test_only_what_was_asked_for_is_tried_and_one_that_fails_does_not_end_the_others(board: Board) -> None:
    kernel = FakeTrial(board)
    kernel.refuses = "lz4"
    outcome = run(board, kernel, ("lz4", "zstd"))
    assert [figure.name for figure in outcome.figures] == ["zstd"]
    assert [name for name, _ in outcome.failed] == ["lz4"] and "EINVAL" in outcome.failed[0][1]
    assert nothing_left(board)


def test_pages_that_come_back_different_are_an_error_that_names_the_algorithm(board: Board) -> None:
    kernel = FakeTrial(board)
    kernel.corrupts = "lz4"
    with pytest.raises(StoreError, match="lz4 gave back other pages"):
        run(board, kernel)
    assert nothing_left(board) and kernel.closed == 3


def test_there_is_no_trial_while_memory_is_short(board: Board) -> None:
    kernel = FakeTrial(board)
    kernel.free_kib = 4 * trial.budget_kib(RAM_KIB, sample_of()) - 1
    with pytest.raises(StoreError, match="memory is short"):
        run(board, kernel)
    assert nothing_left(board) and not [line for line in kernel.log if line.startswith("write")]


def test_the_scratch_device_stays_within_its_budget(board: Board) -> None:
    kernel = FakeTrial(board)
    kernel.fixed_bytes = trial.budget_kib(RAM_KIB, sample_of()) * 1024
    run(board, kernel, ("lz4",))
    assert len([line for line in kernel.log if line.startswith("write")]) == 1


def test_modules_that_were_there_before_are_kept(board: Board) -> None:
    kernel = FakeTrial(board)
    run(board, kernel)
    assert kernel.unloaded == [frozenset(("lz4",))]


def test_two_trials_never_run_at_once(board: Board) -> None:
    with trial_note.owned(board.roots) as alone, pytest.raises(StoreError, match="another trial"):
        assert alone
        run(board, FakeTrial(board))
    assert nothing_left(board)


def effects_of_a_trial(base: Path) -> int:
    board = Board(base)
    kernel = FakeTrial(board)
    run(board, kernel, ("lz4", "zstd"))
    return kernel.effects


def test_whenever_it_dies_the_next_start_removes_its_device_and_brings_the_store_up(tmp_path: Path) -> None:
    total = effects_of_a_trial(tmp_path / "whole")
    assert total > 20
    for dies_after in range(total):
        board = Board(tmp_path / str(dies_after))
        dying = FakeTrial(board)
        dying.dies_after = dies_after
        with pytest.raises(Crash):
            run(board, dying, ("lz4", "zstd"))
        state = bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
        assert (state.device, zram.devices(board.roots)) == ("zram0", (0,)), dies_after
        assert not note_path(board.roots).exists(), dies_after
        assert status(board.roots).device == "zram0"


def test_whenever_it_dies_the_next_trial_works(tmp_path: Path) -> None:
    for dies_after in range(0, effects_of_a_trial(tmp_path / "whole"), 3):
        board = Board(tmp_path / str(dies_after))
        dying = FakeTrial(board)
        dying.dies_after = dies_after
        with pytest.raises(Crash):
            run(board, dying, ("lz4", "zstd"))
        assert len(run(board, FakeTrial(board), ("lzo",)).figures) == 1
        assert nothing_left(board), dies_after


def leave(board: Board, phase: str, size_kib: int, boot: str = BOOT_ID) -> None:
    board.add_device(1)
    board.size(1, size_kib)
    note = TrialNote(boot, phase, -1 if phase == ADDING else 1, (0,) if phase == ADDING else ())
    board.put(note_path(board.roots), format_note(note))


def test_the_device_of_a_living_trial_is_neither_store_nor_free_nor_removed(board: Board) -> None:
    leave(board, AT_WORK, 0)
    with trial_note.owned(board.roots):
        assert find(board.roots).free == (0,)
        board.size(0, 4096, b"somebody's")
        assert bring_up(board.roots, SPEC, Reports(), FakeKernel(board)).device == "zram2"
    assert 1 in zram.devices(board.roots) and note_path(board.roots).exists()


@pytest.mark.parametrize(("phase", "size_kib"), [(ADDING, 4096), (EMPTY, 4096)])
def test_a_device_that_somebody_has_set_up_since_is_left_to_him(board: Board, phase: str, size_kib: int) -> None:
    leave(board, phase, size_kib)
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    assert board.text(1, "disksize") == str(size_kib * 1024) and not note_path(board.roots).exists()


def test_a_noted_device_that_is_swap_now_is_left_alone(board: Board) -> None:
    leave(board, AT_WORK, 4096)
    board.swap_on(1, 4092)
    kernel = FakeKernel(board)
    trial_note.clear_dead(board.roots, kernel, Reports())
    assert kernel.log == [] and not note_path(board.roots).exists()


def test_a_note_of_another_boot_says_nothing_of_this_one(board: Board) -> None:
    leave(board, AT_WORK, 4096, boot="another")
    kernel = FakeKernel(board)
    trial_note.clear_dead(board.roots, kernel, Reports())
    assert kernel.log == [] and not note_path(board.roots).exists()


def test_a_device_that_the_kernel_keeps_stays_noted_and_is_told_of(board: Board) -> None:
    leave(board, AT_WORK, 4096)
    kernel, reports = FakeKernel(board), Reports()
    kernel.fail_at["reset"] = KernelInterfaceError("busy")
    trial_note.clear_dead(board.roots, kernel, reports)
    assert note_path(board.roots).exists() and reports.of("degraded")["feature"] == "zram1"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "boot_id": "b", "phase": "adding"}'])
def test_a_damaged_note_is_none(text: str) -> None:
    assert parse_note(text) is None


def test_a_buffer_of_which_a_part_is_in_use_is_overwritten_and_no_error() -> None:
    buffer = PageBuffer(PAGE)
    part = buffer.view[:4]
    part[:] = b"word"
    buffer.close()
    assert bytes(part) == bytes(4)


def test_a_buffer_is_overwritten_before_it_is_given_back() -> None:
    buffer = PageBuffer(PAGE)
    buffer.view[:4] = b"word"
    assert len(buffer) == PAGE
    buffer.close()
    with pytest.raises(ValueError, match="released"):
        bytes(buffer.view[:4])
