"""The tunables: the oldest values are the ones that come back."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import sysctl
from lmkd.kernel.sysctl import MIN_TTL
from lmkd.store import sysctls
from lmkd.store.state import DEFAULT_SYSCTLS
from tests.unit.store.fakes import BOOT_ID, VM_DEFAULTS, Board, Crash, FakeKernel, Reports, refusal


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board with a kernel's defaults."""
    return Board(tmp_path)


def note(boot_id: str, kept: object) -> str:
    return json.dumps({"version": 1, "boot_id": boot_id, "kept": kept})


def values(board: Board) -> dict[str, int]:
    return {name: board.sysctl(name) for name in VM_DEFAULTS}


def test_all_are_set_and_all_come_back(board: Board) -> None:
    reports = Reports()
    sysctls.apply(board.roots, DEFAULT_SYSCTLS, FakeKernel(board), reports)
    assert values(board) == {
        "swappiness": 200, "page-cluster": 0, "watermark_boost_factor": 0, "watermark_scale_factor": 150,
    }  # fmt: skip
    assert reports.names() == ["sysctl"] * 4
    sysctls.restore(board.roots, FakeKernel(board), Reports())
    assert values(board) == VM_DEFAULTS


def test_a_second_start_keeps_the_oldest_value(board: Board) -> None:
    sysctls.apply(board.roots, (("vm.swappiness", 200),), FakeKernel(board), Reports())
    sysctls.apply(board.roots, (("vm.swappiness", 180),), FakeKernel(board), Reports())
    assert board.sysctl("swappiness") == 180
    sysctls.restore(board.roots, FakeKernel(board), Reports())
    assert board.sysctl("swappiness") == 60


def test_a_second_start_adds_what_the_first_did_not_touch(board: Board) -> None:
    sysctls.apply(board.roots, (("vm.swappiness", 200),), FakeKernel(board), Reports())
    sysctls.apply(board.roots, (("vm.page-cluster", 0),), FakeKernel(board), Reports())
    sysctls.restore(board.roots, FakeKernel(board), Reports())
    assert values(board) == VM_DEFAULTS


def test_the_old_values_are_noted_before_anything_is_set(board: Board) -> None:
    class Crashing(FakeKernel):
        def set_sysctl(self, name: str, number: int) -> int:
            raise Crash

    with pytest.raises(Crash):
        sysctls.apply(board.roots, DEFAULT_SYSCTLS, Crashing(board), Reports())
    assert {item.name: item.old for item in sysctls.read_kept(board.roots)}["vm.swappiness"] == 60


def test_nothing_is_set_when_the_old_values_cannot_be_noted(board: Board) -> None:
    class Full(FakeKernel):
        def save(self, path: Path, text: str) -> None:
            raise refusal(errno.ENOSPC, str(path))

    with pytest.raises(KernelInterfaceError, match="ENOSPC"):
        sysctls.apply(board.roots, DEFAULT_SYSCTLS, Full(board), Reports())
    assert values(board) == VM_DEFAULTS


def test_what_somebody_changed_since_is_left(board: Board) -> None:
    sysctls.apply(board.roots, (("vm.swappiness", 200),), FakeKernel(board), Reports())
    board.put(board.roots.proc / "sys" / "vm" / "swappiness", "80\n")
    reports = Reports()
    sysctls.restore(board.roots, FakeKernel(board), reports)
    assert board.sysctl("swappiness") == 80
    assert reports.of("sysctl_left")["now"] == 80


def test_a_tunable_that_is_missing_or_odd_is_degraded_and_the_others_are_set(board: Board) -> None:
    (board.roots.proc / "sys" / "vm" / "watermark_boost_factor").unlink()
    board.put(board.roots.proc / "sys" / "vm" / "page-cluster", "three\n")
    reports = Reports()
    sysctls.apply(board.roots, DEFAULT_SYSCTLS, FakeKernel(board), reports)
    degraded = [fields["feature"] for event, fields in reports.events if event == "degraded"]
    assert degraded == ["vm.page-cluster", "vm.watermark_boost_factor"]
    assert board.sysctl("swappiness") == 200


def test_a_kernel_that_takes_less_is_degraded_and_the_value_that_it_took_is_noted(board: Board) -> None:
    class Old(FakeKernel):
        def set_sysctl(self, name: str, number: int) -> int:
            return super().set_sysctl(name, min(number, 100))

    reports = Reports()
    sysctls.apply(board.roots, (("vm.swappiness", 200),), Old(board), reports)
    assert "takes 100" in str(reports.of("degraded")["reason"])
    sysctls.restore(board.roots, FakeKernel(board), Reports())
    assert board.sysctl("swappiness") == 60


def test_min_ttl_of_mglru_is_set_to_zero_and_comes_back(board: Board) -> None:
    path = board.roots.sys / "kernel" / "mm" / "lru_gen" / "min_ttl_ms"
    board.put(path, "1000\n")
    sysctls.apply(board.roots, ((MIN_TTL, 0),), FakeKernel(board), Reports())
    assert path.read_text() == "0"
    sysctls.restore(board.roots, FakeKernel(board), Reports())
    assert path.read_text() == "1000"


def test_without_mglru_nothing_is_said(board: Board) -> None:
    reports = Reports()
    sysctls.apply(board.roots, ((MIN_TTL, 0),), FakeKernel(board), reports)
    assert reports.events == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        "\0",
        note(BOOT_ID, []).replace('"version": 1', '"version": 2'),
        note(BOOT_ID, 3),
        note("another", [{"name": "vm.swappiness", "old": 1, "set_to": 60}]),
        note(BOOT_ID, [{"name": "vm.swappiness", "old": "1", "set_to": 60}]),
        note(BOOT_ID, [{"name": "vm.swappiness", "old": True, "set_to": 60}]),
        note(BOOT_ID, [7, {"name": 5}, {}]),
    ],
)
def test_a_damaged_note_or_one_of_another_boot_restores_nothing(board: Board, text: str) -> None:
    board.put(sysctls.kept_path(board.roots), text)
    sysctls.restore(board.roots, FakeKernel(board), Reports())
    assert values(board) == VM_DEFAULTS


def test_a_hostile_note_cannot_point_outside_the_tunables(board: Board) -> None:
    row = {"name": "vm.../../kernel/core_pattern", "old": 1, "set_to": 0}
    board.put(board.roots.proc / "sys" / "kernel" / "core_pattern", "0\n")
    board.put(sysctls.kept_path(board.roots), note(BOOT_ID, [row]))
    reports = Reports()
    sysctls.restore(board.roots, FakeKernel(board), reports)
    assert (board.roots.proc / "sys" / "kernel" / "core_pattern").read_text() == "0\n"
    assert reports.names() == ["degraded"]


class Arm(FakeKernel):
    """A processor without an accessed flag: of MGLRU's mask it has the first bit."""

    def set_sysctl(self, name: str, number: int) -> int:
        if name != "lru_gen.enabled":
            return super().set_sysctl(name, number)
        self.board.put(mglru(self.board), f"0x{number & 1:04x}\n")
        return number & 1


def mglru(board: Board) -> Path:
    return board.roots.sys / "kernel" / "mm" / "lru_gen" / "enabled"


@pytest.mark.parametrize("twice", [False, True])
def test_mglru_that_is_on_as_far_as_it_goes_is_no_change(board: Board, twice: bool) -> None:
    board.put(mglru(board), "0x0001\n")  # as Debian's kernel 6.12 for armhf starts
    reports = Reports()
    for _ in range(1 + twice):
        sysctls.apply(board.roots, (("lru_gen.enabled", 7),), Arm(board), reports)
    sysctls.restore(board.roots, Arm(board), reports)
    assert reports.names() == []
    assert mglru(board).read_text() == "0x0001\n"


def test_mglru_is_switched_on_by_its_mask_and_comes_back_off(board: Board) -> None:
    path = mglru(board)
    board.put(path, "0x0000\n")
    reports = Reports()
    sysctls.apply(board.roots, (("lru_gen.enabled", 7),), Arm(board), reports)
    assert path.read_text() == "0x0001\n"
    assert "degraded" not in reports.names()
    sysctls.restore(board.roots, Arm(board), reports)
    assert path.read_text() == "0x0000\n"


@pytest.mark.parametrize(
    ("name", "asked", "made"), [("vm.swappiness", 200, 100), ("lru_gen.enabled", 7, 1), ("lru_gen.enabled", 7, 7)]
)
def test_what_the_kernel_made_of_it_comes_back_also_when_lmkd_died_before_it_was_noted(
    board: Board, name: str, asked: int, made: int
) -> None:
    mask = board.roots.sys / "kernel" / "mm" / "lru_gen" / "enabled"
    board.put(mask, "0x0000\n")

    class Dying(FakeKernel):
        def set_sysctl(self, name: str, number: int) -> int:
            text = f"0x{made:04x}\n" if name == "lru_gen.enabled" else f"{made}\n"
            board.put(sysctl.path_of(board.roots, name), text)
            raise Crash

    old = sysctl.read(board.roots, name)
    with pytest.raises(Crash):
        sysctls.apply(board.roots, ((name, asked),), Dying(board), Reports())
    assert sysctl.read(board.roots, name) == made
    sysctls.restore(board.roots, FakeKernel(board), Reports())
    assert sysctl.read(board.roots, name) == old


def test_what_somebody_set_between_a_crash_and_the_way_down_is_left(board: Board) -> None:
    class Dying(FakeKernel):
        def set_sysctl(self, name: str, number: int) -> int:
            raise Crash

    with pytest.raises(Crash):
        sysctls.apply(board.roots, (("vm.swappiness", 200),), Dying(board), Reports())
    board.put(board.roots.proc / "sys" / "vm" / "swappiness", "80\n")
    sysctls.restore(board.roots, FakeKernel(board), Reports())
    assert board.sysctl("swappiness") == 80


def test_a_later_start_makes_certain_what_a_crash_left_open(board: Board) -> None:
    class Dying(FakeKernel):
        def set_sysctl(self, name: str, number: int) -> int:
            super().set_sysctl(name, number)
            raise Crash

    with pytest.raises(Crash):
        sysctls.apply(board.roots, (("vm.swappiness", 200),), Dying(board), Reports())
    assert [item.asked for item in sysctls.read_kept(board.roots)] == [True]
    sysctls.apply(board.roots, (("vm.swappiness", 200),), FakeKernel(board), Reports())
    assert [(item.asked, item.old) for item in sysctls.read_kept(board.roots)] == [(False, 60)]
