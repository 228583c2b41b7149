"""The helper's answer about files in memory: whose death returns what, who is told, what is deleted."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.guard.exchange import CLEAN, EXPLAIN, TEND, TEND_LOOK, TEND_SHORT, Exchange
from lmkd.helper import tmpfs as module
from lmkd.helper.entry import Entry
from lmkd.helper.holders import Found, Mount, measure
from lmkd.helper.hooks import Hooks
from lmkd.helper.tmpfs import Tmpfs
from lmkd.kernel.process import Stat, read_stat
from lmkd.plan import TmpfsRule
from lmkd.values import replace
from tests.unit.helper.processes import MIB, SHM, holding
from tests.unit.plans import make_plan, make_rule


class FakeScout:
    """Knows the processes that it is given; ``cgroup`` and ``rules`` put them into groups."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}

    def add(self, pid: int, priority: int = 900, rule: int = -1) -> Entry:
        stat = read_stat("/proc", pid)
        entry = Entry(stat if stat is not None else Stat("gone", "S", 1, 7))
        entry.priority, entry.rule, entry.parent = priority, rule, 1
        self.entries[pid] = entry
        return entry

    def pids(self) -> list[int]:
        return list(self.entries)

    def entry(self, pid: int) -> Entry | None:
        return self.entries.get(pid)

    def identity(self, pid: int) -> tuple[int, int] | None:
        entry = self.entries.get(pid)
        return (entry.start, entry.priority) if entry else None

    def parents(self) -> list[tuple[int, int]]:
        return [(pid, entry.parent) for pid, entry in self.entries.items()]


class Bench:
    """The helper's part for files, with what it posted."""

    def __init__(self, base: Path, **changes: Any) -> None:
        self.exchange, self.scout = Exchange(), FakeScout()
        self.hooks = Hooks(self.exchange.post)
        plan = make_plan(base, **({"proc": "/proc"} | changes))
        self.tmpfs = Tmpfs(plan, self.exchange, self.scout, self.hooks, lambda: 0.4)  # type: ignore[arg-type]

    def posted(self, event: str) -> list[dict[str, object]]:
        return [dict(fields) for name, fields, _ in self.exchange.posts() if name == event]

    def gains(self) -> dict[int, int]:
        answer = self.exchange.tmpfs_answer()
        assert answer is not None
        return {pid: kib for pid, _start, kib in answer.gains}


@pytest.fixture
def base() -> Iterator[Path]:
    base = Path(SHM) / f"lmkd-files-{os.getpid()}"
    base.mkdir()
    yield base
    shutil.rmtree(base)


def memfd() -> object:
    descriptor = os.memfd_create("buffer")
    os.write(descriptor, b"x" * MIB)
    return descriptor


def near(kib: int | None, expected: int) -> bool:
    """A part of all that is in files may lie in the store of the machine that runs the test."""
    return kib is not None and 0.3 * expected <= kib <= expected + 64


def test_a_death_returns_what_only_it_holds(tmp_path: Path) -> None:
    descriptor = os.memfd_create("inherited")
    os.write(descriptor, b"x" * 4 * MIB)
    with holding(memfd, lambda: os.dup(descriptor), lambda: os.dup(descriptor)) as (alone, one, other):
        os.close(descriptor)
        bench = Bench(tmp_path)
        for pid in (alone, one, other):
            bench.scout.add(pid)
        bench.tmpfs.obey({EXPLAIN: 0})
        gains = bench.gains()
        assert near(gains.get(alone), 1024)
        assert bench.scout.entries[alone].files_kib == gains[alone]
        assert one not in gains and other not in gains


def test_a_group_returns_what_only_its_members_hold_but_for_protected_ones(tmp_path: Path) -> None:
    rules = (make_rule("comm", "a", group="tree"),)
    descriptor = os.memfd_create("inherited")
    os.write(descriptor, b"x" * 4 * MIB)
    with holding(lambda: os.dup(descriptor), lambda: os.dup(descriptor)) as (top, below):
        os.close(descriptor)
        bench = Bench(tmp_path, rules=rules)
        bench.scout.add(top, rule=0)
        child = bench.scout.add(below)
        child.parent = top
        bench.tmpfs.obey({TEND: TEND_LOOK})
        assert near(bench.gains().get(top), 4096) and below not in bench.gains()
        child.priority = -1000
        bench.tmpfs.obey({TEND: TEND_LOOK})
        assert bench.gains() == {}


def test_a_protected_process_is_not_among_those_whose_death_returns_something(tmp_path: Path) -> None:
    with holding(memfd) as (pid,):
        bench = Bench(tmp_path)
        bench.scout.add(pid, priority=-1000)
        bench.tmpfs.obey({EXPLAIN: 0})
        assert bench.gains() == {}
        assert bench.posted("futile")


def test_the_record_says_who_holds_what(tmp_path: Path) -> None:
    with holding(memfd) as (pid,):
        bench = Bench(tmp_path)
        bench.scout.add(pid).name = "viewer"
        bench.tmpfs.obey({EXPLAIN: 0})
        (told,) = bench.posted("holders")
        assert told["holders"] == (f"viewer[{pid}]",)
        assert "/memfd:buffer (deleted) 1024 KiB (memfd)" in str(told["files"])
        bench.tmpfs.obey({TEND: TEND_LOOK | TEND_SHORT})
        assert bench.posted("holders") == []  # not twice in so short a time


def rule(base: Path, **changes: Any) -> TmpfsRule:
    return replace(TmpfsRule(SHM, 0, (f"{base.name}/*.log",), "", "f:3"), **changes)


def logs(base: Path, count: int) -> None:
    for number in range(count):
        path = base / f"{number}.log"
        path.write_bytes(b"x" * MIB)
        os.utime(path, (1_000_000 + number, 1_000_000 + number))


def left(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir())


def test_it_deletes_the_oldest_until_enough_has_gone_and_answers_with_how_much(tmp_path: Path, base: Path) -> None:
    logs(base, 4)
    bench = Bench(tmp_path, tmpfs=(rule(base),))
    bench.tmpfs.obey({TEND: TEND_LOOK | TEND_SHORT})
    answer = bench.exchange.tmpfs_answer()
    assert answer is not None and answer.deletable_kib == 4096 and answer.cleaned_ms < 0
    bench.tmpfs.obey({CLEAN: 1500})
    assert left(base) == ["2.log", "3.log"]
    answer = bench.exchange.tmpfs_answer()
    assert answer is not None and (answer.deleted_kib, answer.deletable_kib) == (2048, 2048) and answer.cleaned_ms > 0
    (told,) = bench.posted("deleted")
    assert (told["files"], told["deleted_kib"], told["rule"]) == (2, 2048, "f:3")


def test_a_file_that_is_open_is_not_deleted(tmp_path: Path, base: Path) -> None:
    logs(base, 2)
    with holding(lambda: os.open(base / "0.log", os.O_RDONLY)) as (pid,):
        bench = Bench(tmp_path, tmpfs=(rule(base),))
        bench.scout.add(pid)
        bench.tmpfs.obey({TEND: TEND_LOOK | TEND_SHORT})
        bench.tmpfs.obey({CLEAN: 9999})
        assert left(base) == ["0.log"]


def test_a_dry_run_deletes_and_tells_nothing(tmp_path: Path, base: Path) -> None:
    logs(base, 1)
    program = tmp_path / "tell"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/told\n")
    program.chmod(0o755)
    bench = Bench(tmp_path, tmpfs=(rule(base, tell=str(program)),), dry_run=True)
    bench.tmpfs.obey({TEND: TEND_LOOK | TEND_SHORT, CLEAN: 100})
    assert left(base) == ["0.log"] and not (tmp_path / "told").exists()
    assert bench.posted("deleted")[0]["dry_run"] is True


def test_over_its_limit_a_mount_is_brought_down_to_it_while_memory_is_not_short(tmp_path: Path, base: Path) -> None:
    logs(base, 4)
    bench = Bench(tmp_path, tmpfs=(rule(base, limit_kib=10_000),))
    for used_kib, kept in ((None, 4), (10_000, 4), (12_000, 2), (9952, 2)):
        found = Found((Mount(SHM, 1, used_kib, 100_000),), (), True, 0.0)
        bench.tmpfs.holders.look = lambda pids, found=found: found  # type: ignore[method-assign,misc]
        bench.tmpfs.obey({TEND: TEND_LOOK})
        assert left(base) == ["0.log", "1.log", "2.log", "3.log"][4 - kept :]


def test_the_program_is_told_once_with_what_it_needs(tmp_path: Path, base: Path) -> None:
    logs(base, 1)
    program, said = tmp_path / "tell", tmp_path / "said"
    program.write_text(f'#!/bin/sh\necho "$LMKD_EVENT $LMKD_REASON $LMKD_MOUNT"$LMKD_LIMIT_KIB >> {said}\n')
    program.chmod(0o755)
    bench = Bench(tmp_path, tmpfs=(rule(base, tell=str(program), delete=()),))
    bench.tmpfs.obey({TEND: TEND_LOOK})
    assert bench.posted("told") == []
    for _ in range(2):
        bench.tmpfs.obey({TEND: TEND_LOOK | TEND_SHORT})
    deadline = time.monotonic() + 10
    while not (said.exists() and said.read_text().endswith("\n")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert said.read_text() == f"tmpfs short {SHM}\n"
    bench.hooks.collect()


def test_a_limit_that_is_kept_is_looked_at_without_looking_for_holders(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs(base, 1)
    bench = Bench(tmp_path, tmpfs=(rule(base, limit_kib=100),))
    mount = [Mount(SHM, 1, 100, 9999)]
    monkeypatch.setattr(module, "measure", lambda proc, paths: mount)
    bench.tmpfs.obey({TEND: 0})
    assert bench.exchange.tmpfs_answer() is None
    mount[0] = Mount(SHM, 1, 101, 9999)
    bench.tmpfs.obey({TEND: 0})
    assert bench.exchange.tmpfs_answer() is not None


def test_a_mount_is_measured_where_it_is() -> None:
    assert [mount.path for mount in measure("/proc", (SHM, "/nonexistent"))] == [SHM]


def test_what_the_guard_asked_several_times_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, done = Bench(tmp_path), list[dict[int, int]]()
    monkeypatch.setattr(bench.tmpfs, "obey", done.append)
    bench.tmpfs.take([(1, 0, 0), (2, 5, 9)])
    assert done == []
    bench.tmpfs.take([(TEND, 0, TEND_SHORT | TEND_LOOK), (1, 0, 0), (CLEAN, 0, 7), (CLEAN, 0, 9), (TEND, 0, 0)])
    assert done == [{TEND: TEND_SHORT | TEND_LOOK, CLEAN: 9}]
