"""A second algorithm and a backing device: in the kernel's order, never over somebody's data, and never needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.kernel import blank, zram
from lmkd.kernel.blank import LOOK_BYTES, MARK, BlockCalls
from lmkd.store.extras import backing_of, limit_may_stay
from lmkd.store.zram_store import bring_up, status
from lmkd.values import replace
from tests.unit.store.fakes import SPEC, Board, FakeKernel, Reports, header_of


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A board whose kernel has both, and on which any file passes for a block device."""
    monkeypatch.setattr(BlockCalls, "is_block", lambda _self, path: Path(path).stat().st_size >= 0)
    made = Board(tmp_path)
    for name in ("recomp_algorithm", "backing_dev"):
        made.put(zram.attribute(made.roots, 0, name), "")
    (tmp_path / "disk").write_bytes(bytes(LOOK_BYTES))
    return made


def spec_of(tmp_path: Path, **changes: object) -> object:
    named = {"recompress": "zstd", "backing_dev": str(tmp_path / "disk")}
    return replace(SPEC, **named | changes)


def up(board: Board, spec: object) -> tuple[FakeKernel, Reports]:
    kernel, reports = FakeKernel(board), Reports()
    bring_up(board.roots, spec, reports, kernel)  # type: ignore[arg-type]
    return kernel, reports


def test_the_order_is_the_kernels(board: Board, tmp_path: Path) -> None:
    kernel, reports = up(board, spec_of(tmp_path))
    verbs = [entry.split()[0] for entry in kernel.log]
    assert verbs == [
        "node", "comp_algorithm", "recomp_algorithm", "mark", "backing_dev", "disksize", "mem_limit", "header",
        "swapon",
    ]  # fmt: skip
    assert "recomp_algorithm 0 algo=zstd priority=1" in kernel.log
    assert (tmp_path / "disk").read_bytes().startswith(MARK)
    assert backing_of(board.roots, 0) == str(tmp_path / "disk")
    assert "degraded" not in reports.names()


@pytest.mark.parametrize("force", [False, True])
def test_a_device_with_data_is_used_only_by_force(board: Board, tmp_path: Path, force: bool) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1080) + b"\x53\xef" + bytes(LOOK_BYTES))
    before = disk.read_bytes()
    _, reports = up(board, spec_of(tmp_path, backing_dev_force=force))
    assert status(board.roots).kind == "zram", "the store is up all the same"
    if force:
        assert disk.read_bytes().startswith(MARK)
        return
    assert disk.read_bytes() == before
    assert "ext4" in str(reports.of("degraded")["reason"])
    assert backing_of(board.roots, 0) is None


def test_a_kernel_without_them_has_a_store_without_them(tmp_path: Path, board: Board) -> None:
    for name in ("recomp_algorithm", "backing_dev"):
        zram.attribute(board.roots, 0, name).unlink()
    kernel, reports = up(board, spec_of(tmp_path))
    features = [fields["feature"] for event, fields in reports.events if event == "degraded"]
    assert features == ["store.recompress", "store.backing_dev"]
    assert not (tmp_path / "disk").read_bytes().startswith(MARK[:4]), "what cannot be used is not written over"
    assert status(board.roots).kind == "zram"
    assert kernel.log[-1].startswith("swapon")


def test_a_mark_that_cannot_be_written_costs_the_backing_device_alone(
    tmp_path: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("lmkd.store.effects.write_mark", refuse)
    assert blank.write_mark is not refuse
    _, reports = up(board, spec_of(tmp_path))
    assert "EBUSY" in str(reports.of("degraded")["reason"])
    assert status(board.roots).kind == "zram"


@pytest.mark.parametrize(
    ("limit_kib", "stays"),
    [(65536, True), (65532, False), (None, False), (80_000, True), (100_000, True), (100_064, True), (100_065, False)],
)
def test_a_limit_that_had_been_raised_stays(limit_kib: int | None, stays: bool) -> None:
    spec = replace(SPEC, mem_limit_kib=65536, mem_limit_max_kib=100_000)
    assert limit_may_stay(limit_kib, spec) is stays
    assert limit_may_stay(None, replace(SPEC, mem_limit_kib=None))


def test_a_store_adopted_with_a_raised_limit_keeps_it(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.size(0, 131072, header_of("lmkd"))
    board.swap_on(0, 131072)
    board.put(zram.attribute(board.roots, 0, "mm_stat"), f"0 0 0 {80_000 << 10} 0 0 0 0 0\n")
    kernel, _ = up(board, replace(SPEC, mem_limit_max_kib=100_000))
    assert not [entry for entry in kernel.log if entry.startswith("mem_limit")]
