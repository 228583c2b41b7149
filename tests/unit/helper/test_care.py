"""Care: who is trimmed, cooled and shielded of those that were looked at; in a dry run nothing is touched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.helper.care import Care
from lmkd.kernel.madvise import COLD, PAGEOUT
from lmkd.model import FLAG_DECLARED_FOREGROUND, Candidate
from lmkd.plan import Plan
from lmkd.policy.derive import derive
from lmkd.values import replace
from tests.unit.guard.children import child
from tests.unit.helper.pages import Bench as Pages
from tests.unit.helper.pages import descriptors
from tests.unit.plans import make_plan

GROWN_KIB = 90_000


class Bench:
    """Care over a fake /proc with a fake cgroup2 and a fake zram: two idle applications and a foreground."""

    def __init__(self, base: Path, pids: tuple[int, ...], **changes: Any) -> None:
        self.pages = Pages(base)
        self.root = base
        self.group = base / "cgroup" / "ui"
        self.group.mkdir(parents=True)
        for name, text in (("memory.low", "0\n"), ("memory.current", "4096000\n"), ("cgroup.procs", f"{pids[2]}\n")):
            (self.group / name).write_text(text)
        (self.pages.proc.root / "self").mkdir()
        (self.pages.proc.root / "self" / "mounts").write_text(f"cgroup2 {base}/cgroup cgroup2 rw 0 0\n")
        self.zram = base / "zram"
        self.zram.mkdir()
        (self.zram / "mm_stat").write_text("90000000 10000000 30000000 0 0\n")
        (self.zram / "compact").write_text("")
        self.idle = self.pages.add(pids[0])
        self.grower = self.pages.add(pids[1], resident_kib=GROWN_KIB, flags=0)
        self.front = self.pages.add(pids[2], priority=0, resident_kib=GROWN_KIB, flags=FLAG_DECLARED_FOREGROUND)
        (self.pages.proc.root / str(pids[2]) / "cgroup").write_text("0::/ui\n")
        plan: Plan = make_plan(base, **{"zram_stat": str(self.zram / "mm_stat")} | changes)
        self.reports: list[str] = []
        self.care = Care(plan, self.pages.kernel, lambda event, _fields, _level: self.reports.append(event))

    @property
    def rows(self) -> list[Candidate]:
        return [self.idle, self.grower, self.front]

    def work(self) -> list[tuple[int, int]]:
        """Work until all is done: whose memory was advised about, and how."""
        while self.care.busy:
            self.care.turn()
        return list(dict.fromkeys((pid, advice) for pid, _start, _size, advice in self.pages.kernel.advised))

    def all(self) -> None:
        """Everything that can be asked for."""
        self.care.renew(self.rows, self.grower.pid)
        self.care.trim(1 << 20, {row.pid: 0.0 for row in self.rows})
        self.care.compact()

    def files(self) -> dict[str, tuple[int, int]]:
        """What tells that a file was written: its size and when that was."""
        found = {path: path.stat() for path in self.root.rglob("*") if path.is_file()}
        return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


@pytest.fixture(scope="module")
def pids() -> Iterator[tuple[int, ...]]:
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(child()).pid for _ in range(3))


def test_all_four_are_done_where_they_are_asked_for(tmp_path: Path, pids: tuple[int, ...]) -> None:
    bench = Bench(tmp_path, pids)
    bench.all()
    assert bench.work() == [(bench.grower.pid, COLD), (bench.idle.pid, PAGEOUT)]
    assert (bench.group / "memory.low").read_text() == "4096000"
    assert (bench.zram / "compact").read_text() == "1"
    assert sorted(bench.reports) == ["compact", "cool", "shield", "trim"]
    bench.care.close()
    assert (bench.group / "memory.low").read_text().strip() == "0"


def test_a_dry_run_touches_nothing(tmp_path: Path, pids: tuple[int, ...]) -> None:
    bench = Bench(tmp_path, pids, dry_run=True)
    before, opened = bench.files(), descriptors()
    bench.all()
    assert (bench.care.busy, bench.care.timeout_ms()) == (False, None)
    assert bench.work() == []
    bench.care.close()
    assert bench.files() == before
    assert bench.reports == []
    assert descriptors() == opened


def test_a_declared_foreground_that_grows_is_not_cooled(tmp_path: Path, pids: tuple[int, ...]) -> None:
    bench = Bench(tmp_path, pids)
    bench.care.renew(bench.rows, bench.front.pid)
    assert not bench.care.busy


@pytest.mark.parametrize("grower", [0, 1])
def test_where_nobody_that_is_known_grows_nobody_is_cooled(
    tmp_path: Path, pids: tuple[int, ...], grower: int
) -> None:
    bench = Bench(tmp_path, pids)
    bench.care.renew(bench.rows, grower)
    assert not bench.care.busy


def test_who_was_not_looked_at_is_not_trimmed(tmp_path: Path, pids: tuple[int, ...]) -> None:
    bench = Bench(tmp_path, pids)
    idle = {row.pid: 0.0 for row in bench.rows}
    bench.care.trim(1 << 20, idle)
    assert not bench.care.busy
    bench.care.renew(bench.rows, 0)
    bench.care.renew([bench.grower, bench.front], 0)
    bench.care.trim(1 << 20, idle)
    assert not bench.care.busy


def test_the_shield_can_be_turned_off(tmp_path: Path, pids: tuple[int, ...]) -> None:
    settings = replace(derive(249856, 1024, 2048, 33, False, {}), protect_foreground=False)
    bench = Bench(tmp_path, pids, settings=settings)
    bench.care.renew(bench.rows, 0)
    assert (bench.group / "memory.low").read_text() == "0\n"
