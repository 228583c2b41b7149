"""The dry run: the same way through the code, nothing touched."""

from __future__ import annotations

from pathlib import Path

from lmkd.kernel import zram
from lmkd.kernel.swap import page_bytes
from lmkd.store.dry_run import DryRunEffects
from lmkd.store.zram_store import bring_up, take_down
from lmkd.values import replace
from tests.unit.store.fakes import SPEC, Board, FakeKernel, Reports


def contents(base: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file()}


def test_up_notes_every_action_in_order_and_touches_nothing(tmp_path: Path) -> None:
    board = Board(tmp_path)
    before = contents(tmp_path)
    port = DryRunEffects(board.roots)
    state = bring_up(board.roots, SPEC, Reports(), port)
    assert contents(tmp_path) == before
    assert [action for action in port.actions if not action.startswith("save")] == [
        "set zram0/comp_algorithm to lz4", "set zram0/disksize to 134217728",
        "set zram0/mem_limit to 67108864",
        f"write a swap header of {page_bytes()} bytes to zram0", "swapon zram0 with priority 100",
        "set vm.swappiness to 200", "set vm.page-cluster to 0", "set vm.watermark_boost_factor to 0",
        "set vm.watermark_scale_factor to 150",
    ]  # fmt: skip
    assert (state.device, state.size_kib, state.orig_kib) == ("zram0", 131072, None)


def test_up_without_the_driver_notes_that_it_would_be_loaded(tmp_path: Path) -> None:
    board = Board(tmp_path, devices=0)
    before = contents(tmp_path)
    port = DryRunEffects(board.roots)
    state = bring_up(board.roots, replace(SPEC, algorithm="zstd"), Reports(), port)
    assert [line for line in port.actions if "save" not in line][:2] == ["modprobe zram", "hot-add zram0"]
    assert (state.device, state.algorithm) == ("zram0", None)
    assert contents(tmp_path) == before


def test_down_notes_and_touches_nothing(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.size(0, 4096, b"taken")
    bring_up(board.roots, SPEC, Reports(), FakeKernel(board))
    before = contents(tmp_path)
    port = DryRunEffects(board.roots)
    take_down(board.roots, Reports(), effects=port)
    assert contents(tmp_path) == before
    assert [action for action in port.actions if "zram" in action] == [
        "swapoff zram1", "reset zram1", "hot-remove zram1",
    ]  # fmt: skip
    assert zram.devices(board.roots) == (0, 1)
