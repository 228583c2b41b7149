"""Renicing that is refused: by the file system or the kernel; all stays as it was, and it is said once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.helper.reniced import LIST_NAME
from lmkd.kernel.nice import NICE_LOWEST
from tests.unit.guard.children import child, needs_nice
from tests.unit.helper.test_reniced import BREEDER, Bench, Reused, nice, threads


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "run")
    yield made
    made.reniced.release_all("the test is over")


def test_without_a_list_nobody_is_reniced_and_it_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bench = Bench(tmp_path / "file")
    with child() as process:
        for _ in range(3):
            bench.lower(process.pid)
        assert nice(process.pid) == nice(os.getpid())
    [(event, fields, level)] = bench.reports
    assert (event, level, fields["pid"], process.pid in bench.reniced) == ("renice", "warning", process.pid, False)
    assert f"{LIST_NAME}.new: " in fields["refused"] and "reason" not in fields


class Kernel:
    """setpriority(2) that refuses what the test says; all else goes to the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses: list[int] = []
        self.ended: list[int] = []
        self.raising_too = False
        self._real = os.setpriority
        monkeypatch.setattr(os, "setpriority", self._set)

    def _set(self, which: int, thread: int, value: int) -> None:
        if thread in self.ended:
            raise ProcessLookupError(3, "No such process")
        if thread in self.refuses or (self.raising_too and value < NICE_LOWEST):
            raise PermissionError(1, "Operation not permitted")
        self._real(which, thread, value)


@needs_nice
def test_a_refusal_leaves_every_thread_as_it_was_and_is_said_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with child(BREEDER) as process, child() as other:
        shares = dict(zip(threads(process.pid), (1, 2, 3), strict=True))
        for thread, share in shares.items():
            nice(thread, share)
        bench.lower(other.pid)
        kernel = Kernel(monkeypatch)
        refusing = kernel.refuses = sorted(shares)[1:2]
        for _ in range(3):
            bench.lower(process.pid)
        assert {thread: nice(thread) for thread in shares} == shares
        assert (process.pid in bench.reniced, len(bench.reports)) == (False, 2)
        assert (bench.last()["refused"], bench.reports[-1][2]) == (
            f"nice of {refusing[0]}: Operation not permitted", "warning",
        )  # fmt: skip
        assert bench.list.read_text().split()[::3] == [str(other.pid)]
        assert nice(other.pid) == NICE_LOWEST


@needs_nice
def test_a_thread_that_ends_meanwhile_is_no_refusal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with child(BREEDER) as process:
        first, second, third = threads(process.pid)
        Kernel(monkeypatch).ended = [second]
        bench.lower(process.pid)
        assert (nice(first), nice(third), process.pid in bench.reniced) == (NICE_LOWEST, NICE_LOWEST, True)
        bench.reniced.release(process.pid, "enough")
        assert nice(first) == nice(third) == nice(os.getpid())
        assert [level for _, _, level in bench.reports] == ["info", "info"]


@needs_nice
def test_a_share_that_the_kernel_does_not_let_us_give_back_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(monkeypatch)
    with child() as process:
        kernel.raising_too = True
        bench.lower(process.pid)
        bench.reniced.release(process.pid, "enough")
        assert nice(process.pid) != NICE_LOWEST or bench.reports[-1][2] == "warning"


def test_a_refusal_is_not_held_against_the_next_one_with_that_pid(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the list's folder should be")
    with child() as process:
        reused = Reused(tmp_path, process.pid)
        reused.lower(1)
        reused.lower(2)
        assert len(reused.bench.reports) == 2
