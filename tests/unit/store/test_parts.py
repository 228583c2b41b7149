"""The store's small parts: notes, the fit in memory, the algorithm, the specification, the device node."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd import config
from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.kernel.zram import Algorithms
from lmkd.store.algorithms import choose, require
from lmkd.store.fit import fit_of, parse_memory
from lmkd.store.nodes import NodeCalls, ensure_node
from lmkd.store.record import MAKING, StoreRecord, format_record, parse_record
from lmkd.store.state import NO_STORE, spec_from_config
from tests.unit.store.fakes import Board

if TYPE_CHECKING:
    from lmkd.kernel.files import AnyPath

DEVICE = os.makedev(253, 0)


def test_a_note_reads_back_as_it_was_written() -> None:
    record = StoreRecord("boot", "zram3", MAKING, hot_added=True, adopted=False)
    assert parse_record(format_record(record)) == record


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "sda"},
        {"device": "../zram0"},
        {"device": "/dev/zram0"},
        {"device": "zram"},
        {"device": 0},
        {"device": "zram00"},
        {"device": "zram\u0663"},
        {"phase": "half"},
        {"phase": None},
        {"boot_id": 7},
        {"version": 9},
    ],
)
def test_a_damaged_note_counts_for_nothing(changes: dict[str, object]) -> None:
    whole = json.loads(format_record(StoreRecord("boot", "zram3", MAKING)))
    assert parse_record(json.dumps(whole | changes)) is None


@given(st.text())
def test_no_text_at_all_makes_reading_a_note_fail(text: str) -> None:
    parse_record(text)


def test_memory_is_read_from_meminfo() -> None:
    memory = parse_memory(b"MemTotal:         241012 kB\nMemFree:  1 kB\nMemAvailable:       8752 kB\n")
    assert (memory.total_kib, memory.available_kib) == (241012, 8752)


@pytest.mark.parametrize("data", [b"", b"MemTotal: 5 kB\n", b"MemTotal: x kB\nMemAvailable: 3 kB\n"])
def test_memory_that_cannot_be_read_is_an_error_and_never_zero(data: bytes) -> None:
    with pytest.raises(KernelInterfaceError, match="no number after Mem"):
        parse_memory(data)


def test_a_fit_with_readings_missing_is_refused() -> None:
    with pytest.raises(StoreError, match="not known"):
        fit_of(NO_STORE, parse_memory(b"MemTotal: 5 kB\nMemAvailable: 3 kB\n"))


def test_without_a_list_of_algorithms_the_kernels_own_is_left() -> None:
    assert (choose("auto", None).name, choose("auto", None).degraded) == (None, None)
    assert "'lz4' cannot be chosen" in (choose("lz4", None).degraded or "")


@given(st.lists(st.sampled_from(("lzo", "lzo-rle", "lz4", "zstd", "842", "x")), min_size=1), st.text())
def test_whatever_is_wanted_the_choice_is_one_that_is_offered(offered: list[str], wanted: str) -> None:
    choice = choose(wanted, Algorithms(tuple(offered), None))
    assert choice.name in offered
    assert (choice.degraded is None) == (wanted == "auto" or wanted in offered)


def test_a_strict_check_of_an_algorithm_names_what_is_offered() -> None:
    require("auto", ("lzo",))
    with pytest.raises(StoreError, match="'lz4' is not in this kernel, which offers lzo, zstd"):
        require("lz4", ("lzo", "zstd"))


def test_the_default_configuration_makes_a_sensible_store() -> None:
    spec = spec_from_config(config.parse_text("", "defaults"), 241012)
    assert (spec.kind, spec.algorithm, spec.size_kib, spec.mem_limit_kib) == ("zram", "auto", 325364, 72303)
    assert dict(spec.sysctls)["vm.swappiness"] == 200


def test_tunables_can_be_overridden_and_left_alone() -> None:
    spec = spec_from_config(config.parse_text("sysctls: {vm.swappiness: 180}\n", "f"), 241012)
    assert dict(spec.sysctls)["vm.swappiness"] == 180
    assert spec_from_config(config.parse_text("manage_sysctls: false\n", "f"), 241012).sysctls == ()


class FakeNodes(NodeCalls):
    """``appears_after`` looks, the node is there; ``has_udev`` says whether pyudev can be used."""

    def __init__(self, appears_after: int = 10**9, has_udev: bool = False, device: int = DEVICE) -> None:
        self.looks = 0
        self.made: list[int] = []
        self.udev_waits = 0
        self._appears_after = appears_after
        self._has_udev = has_udev
        self._device = device
        self.refusal: OSError | None = None

    def device_of(self, path: AnyPath) -> int | None:
        self.looks += 1
        return self._device if self.looks > self._appears_after or self.made else None

    def make(self, path: AnyPath, device: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.made.append(device)

    def wait_for_udev(self, is_there: Callable[[], bool], deadline_s: float) -> bool:
        self.udev_waits += 1
        while self._has_udev and not is_there() and time.monotonic() < deadline_s:
            pass
        return self._has_udev


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board with one device."""
    return Board(tmp_path)


def test_a_node_that_is_there_is_not_waited_for(board: Board) -> None:
    nodes = FakeNodes(appears_after=0)
    assert ensure_node(board.roots, 0, nodes) == "present"
    assert nodes.udev_waits == 0


@pytest.mark.parametrize("has_udev", [True, False])
def test_a_node_that_comes_late_is_awaited_with_and_without_libudev(board: Board, has_udev: bool) -> None:
    board.put(board.roots.run.parent / "udev" / "control", "")
    nodes = FakeNodes(appears_after=3, has_udev=has_udev)
    assert ensure_node(board.roots, 0, nodes) == "awaited"
    assert nodes.udev_waits == 1


def test_without_udev_nobody_is_waited_for_long_and_the_node_is_made(board: Board) -> None:
    nodes = FakeNodes()
    began_s = time.monotonic()
    assert ensure_node(board.roots, 0, nodes) == "made"
    assert nodes.made == [DEVICE]
    assert time.monotonic() - began_s < 1.0


def test_a_node_that_udev_never_makes_is_made_after_the_deadline(board: Board) -> None:
    board.put(board.roots.run.parent / "udev" / "control", "")
    assert ensure_node(board.roots, 0, FakeNodes(has_udev=True), timeout_s=0.05) == "made"


def test_something_else_in_the_place_of_the_node_is_an_error(board: Board) -> None:
    with pytest.raises(StoreError, match="not the block device zram0"):
        ensure_node(board.roots, 0, FakeNodes(appears_after=0, device=-1))


def test_a_plain_file_in_the_place_of_the_node_is_an_error(board: Board) -> None:
    with pytest.raises(StoreError, match="not the block device zram0"):
        ensure_node(board.roots, 0)


def test_a_node_that_cannot_be_made_is_a_clear_error(board: Board) -> None:
    nodes = FakeNodes()
    nodes.refusal = OSError(errno.EPERM, "no")
    with pytest.raises(StoreError, match="EPERM"):
        ensure_node(board.roots, 0, nodes)


def test_a_device_that_sysfs_does_not_know_is_a_clear_error(board: Board) -> None:
    with pytest.raises(KernelInterfaceError, match="zram7/dev: cannot read"):
        ensure_node(board.roots, 7, FakeNodes())
