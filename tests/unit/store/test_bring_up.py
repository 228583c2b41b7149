"""Bringing the store up: made, adopted, respected, finished after a crash."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.kernel import swap, zram
from lmkd.store.record import store_path
from lmkd.store.state import NO_STORE
from lmkd.store.zram_store import bring_up, status
from lmkd.values import replace
from tests.unit.store.fakes import SPEC, Board, Crash, FakeKernel, Reports, header_of, refusal


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board with the zram driver and one free device."""
    return Board(tmp_path)


def test_a_store_is_made_in_the_order_that_the_kernel_demands(board: Board) -> None:
    kernel, reports = FakeKernel(board), Reports()
    state = bring_up(board.roots, SPEC, reports, kernel)
    assert kernel.log == [
        "node 0",
        "comp_algorithm 0 lz4",
        "disksize 0 134217728",
        "mem_limit 0 67108864",
        "header 0",
        "swapon 0 100",
    ]
    assert (state.kind, state.device, state.algorithm, state.adopted, state.foreign) == (
        "zram", "zram0", "lz4", False, False,
    )  # fmt: skip
    assert (state.size_kib, state.mem_limit_kib, state.swap_priority) == (131072, 65536, 100)
    assert reports.of("store_up")["size_kib"] == 131072
    assert json.loads(store_path(board.roots).read_text())["phase"] == "up"


def test_the_header_is_lmkds_and_covers_the_device(board: Board) -> None:
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    header = swap.read_swap_header(zram.node(board.roots, 0))
    assert header is not None
    assert (header.label, header.version) == ("lmkd", 1)
    assert (header.last_page + 1) * swap.page_bytes() == SPEC.size_kib * 1024


def test_without_a_limit_none_is_set(board: Board) -> None:
    kernel = FakeKernel(board)
    bring_up(board.roots, replace(SPEC, mem_limit_kib=None), Reports(), kernel)
    assert not [line for line in kernel.log if line.startswith("mem_limit")]


def test_sizes_are_rounded_up_to_whole_pages_as_the_kernel_does(board: Board) -> None:
    state = bring_up(
        board.roots, replace(SPEC, size_kib=131069, mem_limit_kib=65533), Reports(), FakeKernel(board)
    )
    assert (state.size_kib, state.mem_limit_kib) == (131072, 65536)


def test_the_module_is_loaded_where_the_driver_is_missing(tmp_path: Path) -> None:
    board = Board(tmp_path, devices=0)
    kernel = FakeKernel(board)
    assert bring_up(board.roots, SPEC, Reports(), kernel).device == "zram0"
    assert kernel.log[0] == "modprobe zram"


def test_a_device_is_added_where_all_are_taken_and_the_taken_one_is_not_touched(board: Board) -> None:
    board.size(0, 4096, b"somebody's file system")
    kernel = FakeKernel(board)
    assert bring_up(board.roots, SPEC, Reports(), kernel).device == "zram1"
    assert kernel.log[0] == "hot_add 1"
    assert zram.node(board.roots, 0).read_bytes() == b"somebody's file system"
    assert json.loads(store_path(board.roots).read_text())["hot_added"] is True


def test_a_device_held_by_another_is_not_taken(board: Board) -> None:
    (zram.attribute(board.roots, 0, "holders") / "dm-0").touch()
    assert bring_up(board.roots, SPEC, Reports(), FakeKernel(board)).device == "zram1"


def test_a_device_that_another_program_grabs_first_is_left_to_it(board: Board) -> None:
    class Raced(FakeKernel):
        def set_attribute(self, number: int, name: str, text: str) -> None:
            if number == 0:
                self.board.size(0, 4096)
            super().set_attribute(number, name, text)

    kernel, reports = Raced(board), Reports()
    assert bring_up(board.roots, SPEC, reports, kernel).device == "zram1"
    assert "reset 0" not in kernel.log
    assert reports.of("degraded")["feature"] == "zram0"


@pytest.mark.parametrize(
    ("offered", "wanted", "chosen"),
    [
        ("lzo lzo-rle lz4 zstd", "auto", "lz4"),
        ("lzo lzo-rle zstd", "auto", "lzo-rle"),
        ("zstd 842 deflate", "auto", "zstd"),
        ("brotli quux", "auto", "brotli"),
        ("lzo lzo-rle lz4 zstd", "zstd", "zstd"),
    ],
)
def test_the_algorithm_is_chosen_among_those_offered(
    tmp_path: Path, offered: str, wanted: str, chosen: str
) -> None:
    board = Board(tmp_path, devices=0)
    board.offered = offered
    reports = Reports()
    assert bring_up(board.roots, replace(SPEC, algorithm=wanted), reports, FakeKernel(board)).kind == "zram"
    assert reports.of("store_up")["algorithm"] == chosen
    assert "degraded" not in reports.names()


def test_an_algorithm_that_is_missing_is_replaced_and_reported(board: Board) -> None:
    reports = Reports()
    bring_up(board.roots, replace(SPEC, algorithm="lzfoo"), reports, FakeKernel(board))
    assert reports.of("store_up")["algorithm"] == "lz4"
    assert "'lzfoo'" in str(reports.of("degraded")["reason"])
    assert "lzo, lzo-rle, lz4, zstd" in str(reports.of("degraded")["reason"])


def test_a_store_with_lmkds_label_is_adopted_and_nothing_in_it_is_touched(board: Board) -> None:
    board.size(0, 131072, header_of("lmkd"))
    board.swap_on(0, 131068)
    board.store(0, orig_kib=4000, used_kib=1000)
    kernel, reports = FakeKernel(board), Reports()
    state = bring_up(board.roots, replace(SPEC, mem_limit_kib=None), reports, kernel)
    assert (state.adopted, state.foreign, state.orig_kib, state.ratio) == (True, False, 4000, 4.0)
    assert kernel.log == []
    assert reports.of("store_adopted")["foreign"] is False


def test_adopting_applies_a_changed_limit(board: Board) -> None:
    first = FakeKernel(board)
    bring_up(board.roots, SPEC, Reports(), first)
    second = FakeKernel(board)
    state = bring_up(board.roots, replace(SPEC, mem_limit_kib=32768), Reports(), second)
    assert second.log == ["mem_limit 0 33554432"]
    assert (state.adopted, state.mem_limit_kib) == (True, 32768)


def test_a_store_whose_device_cannot_be_read_is_recognised_by_the_note(board: Board) -> None:
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    zram.node(board.roots, 0).unlink()
    state = bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    assert (state.adopted, state.foreign) == (True, False)


@pytest.mark.parametrize("header", [header_of("zram0"), header_of(""), b"", b"\0" * 65536])
def test_swap_on_zram_of_somebody_else_is_used_and_not_changed(board: Board, header: bytes) -> None:
    board.size(0, 131072, header)
    board.swap_on(0, 131068, priority=-2)
    kernel = FakeKernel(board)
    state = bring_up(board.roots, SPEC, Reports(), kernel)
    assert (state.foreign, state.adopted, state.swap_priority) == (True, True, -2)
    assert kernel.log == []
    assert not store_path(board.roots).exists()


def test_a_note_of_another_boot_makes_nothing_lmkds(board: Board) -> None:
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    zram.node(board.roots, 0).unlink()
    board.put(board.roots.proc / "sys" / "kernel" / "random" / "boot_id", "another\n")
    assert status(board.roots).foreign is True


def test_lmkds_own_store_goes_before_somebody_elses_of_higher_priority(tmp_path: Path) -> None:
    board = Board(tmp_path, devices=2)
    board.size(0, 4096, header_of("other"))
    board.swap_on(0, 4092, priority=200)
    board.size(1, 131072, header_of("lmkd"))
    board.swap_on(1, 131068, priority=100)
    assert status(board.roots).device == "zram1"


@pytest.mark.parametrize("point", ["disksize", "mem_limit", "header", "swapon"])
def test_a_crash_half_way_is_finished_by_the_next_start(board: Board, point: str) -> None:
    crashing = FakeKernel(board)
    crashing.fail_at[point] = Crash()
    with pytest.raises(Crash):
        bring_up(board.roots, SPEC, Reports(), crashing)
    kernel = FakeKernel(board)
    state = bring_up(board.roots, SPEC, Reports(), kernel)
    assert (state.device, state.adopted) == ("zram0", False)
    assert ("reset 0" in kernel.log) == (point != "disksize")


def test_half_made_devices_that_will_not_reset_are_left_and_another_is_used(board: Board) -> None:
    board.size(0, 4096, header_of("lmkd"))
    kernel, reports = FakeKernel(board), Reports()
    kernel.fail_at["reset"] = refusal(errno.EBUSY, "reset")
    assert bring_up(board.roots, SPEC, reports, kernel).device == "zram1"
    assert reports.of("degraded")["cost"] == "left half made"


def test_a_finished_store_that_somebody_made_anew_is_not_reset(board: Board) -> None:
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    board.swap_off(0)
    board.size(0, 4096, b"a file system by now")
    kernel = FakeKernel(board)
    assert bring_up(board.roots, SPEC, Reports(), kernel).device == "zram1"
    assert "reset 0" not in kernel.log


@pytest.mark.parametrize("point", ["mem_limit", "header", "swapon"])
def test_a_failure_leaves_nothing_half_made_behind(board: Board, point: str) -> None:
    kernel = FakeKernel(board)
    kernel.fail_at[point] = refusal(errno.ENOMEM, point)
    with pytest.raises(StoreError, match="ENOMEM"):
        bring_up(board.roots, SPEC, Reports(), kernel)
    assert board.text(0, "disksize") == "0"
    assert not store_path(board.roots).exists()
    assert board.sysctl("swappiness") == 60


def test_a_failure_removes_the_device_that_was_added_for_it(board: Board) -> None:
    board.size(0, 4096, b"taken")
    kernel = FakeKernel(board)
    kernel.fail_at["swapon"] = refusal(errno.EPERM, "swapon")
    with pytest.raises(StoreError, match="EPERM"):
        bring_up(board.roots, SPEC, Reports(), kernel)
    assert zram.devices(board.roots) == (0,)


def test_the_first_failure_is_told_even_if_the_clean_up_fails_too(board: Board) -> None:
    kernel = FakeKernel(board)
    kernel.fail_at["swapon"] = refusal(errno.EPERM, "swapon")
    kernel.fail_at["reset"] = refusal(errno.EBUSY, "reset")
    with pytest.raises(StoreError, match="EPERM"):
        bring_up(board.roots, SPEC, Reports(), kernel)


def test_a_module_that_cannot_be_loaded_is_a_clear_error(tmp_path: Path) -> None:
    board = Board(tmp_path, devices=0)
    kernel = FakeKernel(board)
    kernel.fail_at["modprobe"] = KernelInterfaceError("module zram: no modprobe here")
    with pytest.raises(StoreError, match="module zram: no modprobe here"):
        bring_up(board.roots, SPEC, Reports(), kernel)


def test_a_kernel_without_swap_is_a_clear_error_and_has_no_store(board: Board) -> None:
    (board.roots.proc / "swaps").unlink()
    with pytest.raises(StoreError, match="swaps: cannot read"):
        bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    assert status(board.roots) == NO_STORE


def test_a_size_of_less_than_ten_pages_is_a_clear_error_before_anything_is_done(board: Board) -> None:
    kernel = FakeKernel(board)
    with pytest.raises(StoreError, match="10 to"):
        bring_up(board.roots, replace(SPEC, size_kib=swap.page_bytes() * 9 // 1024), Reports(), kernel)
    assert kernel.log == []


def test_kind_none_makes_nothing_and_leaves_the_tunables(board: Board) -> None:
    kernel = FakeKernel(board)
    assert bring_up(board.roots, replace(SPEC, kind="none"), Reports(), kernel) == NO_STORE
    assert kernel.log == []
    assert board.sysctl("swappiness") == 60


def test_truncated_mm_stat_is_a_clear_error_that_names_the_file(board: Board) -> None:
    board.size(0, 131072, header_of("lmkd"))
    board.swap_on(0, 131068)
    board.put(zram.attribute(board.roots, 0, "mm_stat"), "4096 74\n")
    with pytest.raises(StoreError, match=r"zram0/mm_stat: 7 or more numbers"):
        status(board.roots)
