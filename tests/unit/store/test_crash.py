"""Killed after any effect on the kernel, a command of the store leaves what the next one finishes, devices included."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from lmkd.errors import StoreError
from lmkd.kernel import zram
from lmkd.store import stores
from lmkd.store.move import move
from lmkd.store.state import StoreSpec
from lmkd.values import replace
from tests.unit.store.fakes import SPEC, Crash, Reports, refusal
from tests.unit.store.zswap_fakes import ZSWAP_SPEC, FakeDevices, ZswapBoard

DENSER = replace(SPEC, algorithm="zstd")
SPECS = {"zram": SPEC, "zswap": ZSWAP_SPEC}
Command = Callable[[ZswapBoard, FakeDevices], object]


def up_of(spec: StoreSpec) -> Command:
    return lambda board, port: stores.bring_up(board.roots, spec, Reports(), port)


def down(board: ZswapBoard, port: FakeDevices) -> None:
    stores.take_down(board.roots, Reports(), effects=port)


def to_denser(board: ZswapBoard, port: FakeDevices) -> None:
    move(board.roots, DENSER, Reports(), port)


def beside(tmp_path: Path) -> ZswapBoard:
    """A board on which zram0 is somebody's, so that lmkd has to add one."""
    board = ZswapBoard(tmp_path)
    board.size(0, 64, b"somebody's file system")
    return board


def all_of(board: ZswapBoard) -> dict[str, object]:
    """What a store may not leave behind, free devices too."""
    return {**board.left(), "devices": zram.devices(board.roots)}


def effects_of(tmp_path: Path, before: tuple[Command, ...], command: Command) -> int:
    board = beside(tmp_path)
    for each in before:
        each(board, FakeDevices(board))
    port = FakeDevices(board)
    command(board, port)
    return port.count


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("follow", ["up", "down"])
@pytest.mark.parametrize("victim", ["up", "down", "move", "move back"])
def test_a_device_that_lmkd_had_added_is_never_left_behind(
    tmp_path: Path, kind: str, follow: str, victim: str
) -> None:
    if kind == "zswap" and "move" in victim:
        pytest.skip("a zswap store has nowhere to move to")
    up = up_of(SPECS[kind])
    commands: dict[str, tuple[tuple[Command, ...], Command]] = {
        "up": ((), up), "down": ((up,), down), "move": ((up,), to_denser), "move back": ((up, to_denser), to_denser),
    }  # fmt: skip
    before, command = commands[victim]
    for step in range(effects_of(tmp_path / "count", before, command)):
        board = beside(tmp_path / str(step))
        free = all_of(board)
        for each in before:
            each(board, FakeDevices(board))
        with pytest.raises(Crash):
            command(board, FakeDevices(board, step))
        if follow == "up":
            up(board, FakeDevices(board))
            assert len(board.swap_names()) == 1, step
            assert len(zram.devices(board.roots)) == 2, step
        down(board, FakeDevices(board))
        assert all_of(board) == free, step


def test_a_zram_that_was_half_made_is_not_in_the_way_of_a_zswap_store(tmp_path: Path) -> None:
    for step in range(effects_of(tmp_path / "count", (), up_of(SPEC))):
        board = beside(tmp_path / str(step))
        free = all_of(board)
        with pytest.raises(Crash):
            up_of(SPEC)(board, FakeDevices(board, step))
        if not board.swap_names():
            up_of(ZSWAP_SPEC)(board, FakeDevices(board))
            assert board.swap_names() == ["dm-0"], step
        down(board, FakeDevices(board))
        assert all_of(board) == free, step


def test_a_device_that_cannot_be_added_leaves_no_note(tmp_path: Path) -> None:
    board = beside(tmp_path)
    free = all_of(board)
    port = FakeDevices(board)
    port.fail_at["hot_add"] = refusal(errno.ENOMEM, "hot_add")
    with pytest.raises(StoreError, match="ENOMEM"):
        up_of(SPEC)(board, port)
    assert all_of(board) == free


def test_a_device_of_that_number_that_somebody_has_set_up_since_is_left_to_him(tmp_path: Path) -> None:
    for kind, spec in SPECS.items():
        board = beside(tmp_path / kind)
        port = FakeDevices(board)
        port.fail_at["hot_add"] = Crash()
        with pytest.raises(Crash):
            up_of(spec)(board, port)
        board.add_device(1)
        board.size(1, 4096, b"somebody's as well")
        down(board, FakeDevices(board))
        assert zram.devices(board.roots) == (0, 1)
        assert zram.node(board.roots, 1).read_bytes() == b"somebody's as well"
