"""The scout over a fake /proc: who may be ended, in which order, and by which rule."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkd.helper.gain import PROCESS_KIB
from lmkd.helper.scout import Scout
from lmkd.model import FLAG_DECLARED_FOREGROUND, FLAG_GROUP, FLAG_TRIM, Candidate
from lmkd.plan import Rule
from tests.unit.plans import FakeProc, make_plan, make_rule

FORK, EXEC, EXIT = 0x1, 0x2, 0x80000000


class Bench:
    """A scout, its fake /proc, its event pipe, and what it reported."""

    def __init__(self, base: Path, **changes: Any) -> None:
        self.proc = FakeProc(base)
        self.reports: list[tuple[str, dict[str, object], str]] = []
        self.reader, self._writer = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)  # packets, as a netlink socket gives
        self.scout = Scout(make_plan(base, **changes), (99,), self._report)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        self.reports.append((event, dict(fields), level))

    def event(self, what: int, pid: int, parent: int = 1) -> None:
        body = struct.pack("=iiii", parent, parent, pid, pid) if what == FORK else struct.pack("=ii", pid, pid)
        event = struct.pack("=IIQ", what, 0, 0) + body.ljust(24, b"\0")
        message = struct.pack("=IIIIHH", 1, 1, 0, 0, len(event), 0) + event
        os.write(self._writer, struct.pack("=IHHII", 16 + len(message), 3, 0, 0, 0) + message)

    def take(self) -> None:
        self.scout.take_events(self.reader)

    def rows(self, store_share: float = 0.5) -> dict[int, Candidate]:
        self.scout.measure(private=False)
        return {row.pid: row for row in self.scout.candidates(store_share)}

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)


@pytest.fixture
def bench_of(tmp_path: Path) -> Any:
    made: list[Bench] = []

    def make(*rules: Rule, **changes: Any) -> Bench:
        made.append(Bench(tmp_path, rules=rules, **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


MakeBench = Callable[..., Bench]


def test_without_rules_everybody_keeps_his_own_oom_score_adj(bench_of: MakeBench) -> None:
    bench = bench_of()
    for pid, adj in ((10, 0), (11, -500), (12, 900), (13, -1000)):
        bench.proc.add(pid, comm=b"app%d" % pid, adj=adj, anon_kib=1000, swapped_kib=200)
    bench.scout.scan()
    rows = bench.rows()
    assert {pid: row.priority for pid, row in rows.items()} == {10: 0, 11: -500, 12: 900, 13: -1000}
    assert all(row.rule == -1 and row.flags in (0, FLAG_TRIM) for row in rows.values())
    assert {row.gain_kib for row in rows.values()} == {1100 + PROCESS_KIB}
    assert (rows[12].name, rows[12].start_ticks, rows[12].swapped_kib) == ("app12", 1000, 200)
    bench.proc.add(10, comm=b"app10", adj=300)
    assert bench.rows()[10].priority == 300


def test_kernel_threads_zombies_init_and_ourselves_are_no_candidates(bench_of: MakeBench) -> None:
    bench = bench_of(make_rule("user", "0"))
    bench.proc.add(1, comm=b"init", parent=0)
    bench.proc.add(2, comm=b"kthreadd", parent=0, kernel=True)
    bench.proc.add(9, comm=b"kworker/0:0", parent=2, kernel=True)
    bench.proc.add(30, state="Z")
    bench.proc.add(99)
    bench.proc.add(40)
    bench.scout.scan()
    assert set(bench.rows()) == {40}
    assert (bench.proc.adj(1), bench.proc.adj(9), bench.proc.adj(99)) == (0, 0, 0)


def test_in_a_container_the_children_of_process_2_are_ordinary(bench_of: MakeBench) -> None:
    bench = bench_of()
    bench.proc.add(2, comm=b"sh")
    bench.proc.add(3, comm=b"app", parent=2)
    bench.scout.scan()
    assert set(bench.rows()) == {2, 3}


@pytest.mark.parametrize(
    ("field", "pattern", "matching", "other"),
    [
        ("comm", "ui", {"comm": b"ui"}, {"comm": b"uid"}),
        ("exe", "/usr/bin/ui", {"exe": "/usr/bin/ui (deleted)"}, {"exe": "/usr/bin/ui2"}),
        ("cmdline", "*--full screen", {"cmdline": b"ui\0--full screen\0"}, {"cmdline": b""}),
        ("user", "root", {"uid": 0}, {"uid": 54321}),
        ("user", "54321", {"uid": 54321}, {"uid": 0}),
        ("cgroup", "/a/*", {"cgroup": "/a/b"}, {"cgroup": "/"}),
        ("unit", "ui.service", {"cgroup": "/system.slice/ui.service"}, {"cgroup": "/system.slice/u.service"}),
    ],
)
def test_rules_match_by_every_field(
    bench_of: MakeBench, field: str, pattern: str, matching: dict[str, Any], other: dict[str, Any]
) -> None:
    bench = bench_of(make_rule(field, pattern, 700))
    bench.proc.add(10, **matching)
    bench.proc.add(11, **other)
    bench.scout.scan()
    rows = bench.rows()
    assert (rows[10].priority, rows[10].rule) == (700, 0)
    assert (rows[11].priority, rows[11].rule) == (0, -1)


def test_the_first_rule_that_matches_wins(bench_of: MakeBench) -> None:
    bench = bench_of(make_rule("comm", "a", 100), make_rule("comm", "*", 700), make_rule("comm", "b", 200))
    bench.proc.add(10, comm=b"a")
    bench.proc.add(11, comm=b"b")
    bench.scout.scan()
    assert [(row.priority, row.rule) for row in bench.rows().values()] == [(100, 0), (700, 1)]


def test_a_protected_process_is_never_a_victim(bench_of: MakeBench) -> None:
    bench = bench_of(make_rule("comm", "ssh", 900, protect=True))
    bench.proc.add(10, comm=b"ssh")
    bench.scout.scan()
    assert bench.rows()[10].priority == -1000
    assert bench.proc.adj(10) == -1000


def test_flags_come_from_rules_only(bench_of: MakeBench) -> None:
    bench = bench_of(make_rule("comm", "ui", 0), make_rule("comm", "tree", 900, group="tree"))
    for pid, comm in ((10, b"ui"), (11, b"tree"), (12, b"other")):
        bench.proc.add(pid, comm=comm, adj=-5)
    bench.scout.scan()
    assert [row.flags for row in bench.rows().values()] == [FLAG_DECLARED_FOREGROUND, FLAG_GROUP | FLAG_TRIM, 0]


@pytest.mark.parametrize(("priority", "grace_ms"), [(0, 500), (150, 300), (500, 200), (800, 100), (900, 0), (-5, 500)])
def test_the_grace_is_that_of_the_class(bench_of: MakeBench, priority: int, grace_ms: int) -> None:
    bench = bench_of(make_rule("comm", "ruled", priority), make_rule("comm", "own", priority, grace_ms=7))
    bench.proc.add(10, comm=b"ruled")
    bench.proc.add(11, comm=b"own")
    bench.proc.add(12, comm=b"other", adj=priority)
    bench.scout.scan()
    assert [row.grace_ms for row in bench.rows().values()] == [grace_ms, 7, grace_ms]


def test_priorities_are_mirrored_where_they_differ_only(bench_of: MakeBench) -> None:
    bench = bench_of(make_rule("comm", "app", 900))
    same = bench.proc.add(10, adj=900) / "oom_score_adj"
    bench.proc.add(11, adj=0)
    bench.proc.add(12, comm=b"other", adj=5)
    os.utime(same, (1, 1))
    bench.scout.scan()
    assert (bench.proc.adj(10), bench.proc.adj(11), bench.proc.adj(12)) == (900, 900, 5)
    assert same.stat().st_mtime == 1
    assert bench.reports == []


@pytest.mark.parametrize("changes", [{"dry_run": True}, {"mirror": False}])
def test_nothing_is_mirrored_in_a_dry_run_or_when_turned_off(bench_of: MakeBench, changes: dict[str, bool]) -> None:
    bench = bench_of(make_rule("comm", "app", 900), **changes)
    bench.proc.add(10)
    bench.scout.scan()
    assert (bench.proc.adj(10), bench.rows()[10].priority) == (0, 900)


def test_priorities_that_cannot_be_written_are_reported_once(bench_of: MakeBench) -> None:
    bench = bench_of(make_rule("comm", "app", 900))
    for pid in (10, 11, 12):
        path = bench.proc.add(pid) / "oom_score_adj"
        path.chmod(0o444)
        if os.access(path, os.W_OK):  # root writes to what is read-only: a full device refuses him as well
            path.unlink()
            path.symlink_to("/dev/full")
    bench.scout.scan()
    if bench.scout.pids():
        assert [event for event, _, _ in bench.reports] in ([], ["degraded"])


def test_what_a_protected_process_starts_is_not_protected(bench_of: MakeBench) -> None:
    """oom_score_adj is inherited: a shell of a protected sshd must not be immune for ever."""
    bench = bench_of(make_rule("comm", "ssh", protect=True))
    bench.proc.add(10, comm=b"ssh", adj=3)
    bench.scout.scan()
    bench.proc.add(20, comm=b"ssh", parent=10, adj=-1000)
    bench.event(FORK, 20, 10)
    bench.take()
    assert bench.rows()[20].priority == -1000
    bench.proc.add(20, comm=b"sh", parent=10, adj=-1000)
    bench.event(EXEC, 20)
    bench.take()
    assert (bench.rows()[20].priority, bench.proc.adj(20)) == (3, 3)


def test_a_protection_of_its_own_is_inherited_as_the_kernel_does(bench_of: MakeBench) -> None:
    bench = bench_of()
    bench.proc.add(10, comm=b"sshd", adj=-1000)
    bench.proc.add(20, comm=b"sh", parent=10, adj=-1000)
    bench.scout.scan()
    assert bench.rows()[20].priority == -1000


def test_an_exec_is_matched_anew(bench_of: MakeBench) -> None:
    bench = bench_of(make_rule("comm", "ui", 0), make_rule("comm", "sh", 900))
    bench.proc.add(10, comm=b"sh")
    bench.scout.scan()
    assert bench.rows()[10].priority == 900
    bench.proc.add(10, comm=b"ui")
    bench.event(EXEC, 10)
    bench.take()
    assert bench.rows()[10].priority == 0


def test_an_exit_removes_and_a_birth_adds(bench_of: MakeBench) -> None:
    bench = bench_of()
    bench.proc.add(10)
    bench.scout.scan()
    bench.proc.add(11)
    bench.event(FORK, 11)
    bench.event(EXIT, 10)
    bench.take()
    assert set(bench.rows()) == {11}


def test_a_pid_that_is_used_again_is_another_process(bench_of: MakeBench) -> None:
    bench = bench_of()
    bench.proc.add(10, comm=b"old", start=1000)
    bench.scout.scan()
    bench.rows()
    bench.proc.add(10, comm=b"new", start=2000)
    bench.event(EXIT, 10)
    bench.event(FORK, 10)
    bench.take()
    assert (bench.rows()[10].name, bench.rows()[10].start_ticks) == ("new", 2000)


def test_a_scan_sees_that_a_pid_is_used_again(bench_of: MakeBench) -> None:
    bench = bench_of(make_rule("comm", "ui", 0))
    bench.proc.add(10, comm=b"app", start=1000)
    for _ in range(3):
        bench.scout.scan()
    bench.proc.add(10, comm=b"app", start=2000)
    bench.scout.scan()
    assert bench.rows()[10].start_ticks == 2000
    bench.proc.add(10, comm=b"ui", start=2000)
    bench.scout.scan()
    assert bench.rows()[10].priority == 0


def test_a_scan_between_fork_and_exec_is_put_right_by_the_next(bench_of: MakeBench) -> None:
    bench = bench_of(make_rule("cmdline", "sh app", 900))
    bench.proc.add(10, comm=b"sh", cmdline=b"sh\0parent\0")
    bench.scout.scan()
    bench.proc.add(10, comm=b"sh", cmdline=b"sh\0app\0")
    bench.scout.scan()
    assert bench.rows()[10].priority == 900


def test_a_scan_forgets_who_is_gone(bench_of: MakeBench) -> None:
    bench = bench_of()
    bench.proc.add(10)
    bench.proc.add(11)
    bench.scout.scan()
    bench.proc.remove(10)
    bench.scout.scan()
    assert bench.scout.pids() == [11]


class LosingScout(Scout):
    """Counts its scans."""

    scans = 0

    def scan(self) -> None:
        self.scans += 1
        super().scan()


def test_lost_events_are_made_up_for_by_a_scan(tmp_path: Path) -> None:
    import socket

    try:
        link = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
    except OSError as error:
        pytest.skip(f"no netlink here: {error.strerror}")
    with link:
        link.setblocking(False)
        proc = FakeProc(tmp_path)
        scout = LosingScout(make_plan(tmp_path), (), lambda *_: None)
        scout.take_events(link.fileno())
        assert (scout.scans, scout.complete) == (1, True)
        scout.take_events(link.fileno())
        assert scout.scans == 1
        # ENOBUFS is what the kernel sets on a socket whose buffer ran over; the scout then only clears `complete`.
        scout.complete = False
        proc.add(10)
        scout.take_events(link.fileno())
        assert (scout.scans, scout.pids()) == (2, [10])


@pytest.mark.parametrize("missing", ["stat", "status", "oom_score_adj"])
def test_what_cannot_be_read_is_passed_over(bench_of: MakeBench, missing: str) -> None:
    bench = bench_of()
    bench.proc.add(10)
    (bench.proc.add(11) / missing).unlink()
    (bench.proc.root / "12").mkdir()
    bench.scout.scan()
    assert set(bench.rows()) == {10}


def test_a_process_that_ends_between_scan_and_measurement_is_left_out(bench_of: MakeBench) -> None:
    bench = bench_of()
    bench.proc.add(10)
    bench.scout.scan()
    bench.proc.remove(10)
    assert bench.rows() == {}


def test_memory_that_a_child_shares_with_its_parent_does_not_come_back(bench_of: MakeBench) -> None:
    bench = bench_of()
    bench.proc.add(10, exe="/bin/app", anon_kib=40000)
    child = bench.proc.add(11, parent=10, exe="/bin/app", anon_kib=30000)
    (child / "smaps_rollup").write_bytes(b"0-1 ---p 0 0:0 0 [rollup]\nPrivate_Clean:  100 kB\nPrivate_Dirty:  900 kB\n")
    bench.scout.scan()
    for _ in range(2):
        bench.scout.measure(private=True)
    assert bench.rows()[11].gain_kib == 1000 + PROCESS_KIB
    assert bench.rows()[10].gain_kib == 40000 + PROCESS_KIB


def test_more_processes_than_the_table_holds_do_no_harm(bench_of: MakeBench) -> None:
    from lmkd.policy.table import CAPACITY, table_of

    bench = bench_of()
    bench.proc.add(10)
    bench.scout.scan()
    bench.scout.measure(private=False)
    [row] = bench.scout.candidates(1.0)
    assert len(table_of([row] * (CAPACITY + 7))) == CAPACITY


def test_what_files_its_death_returns_counts_as_long_as_that_was_looked_at_lately(bench_of: MakeBench) -> None:
    bench = bench_of()
    bench.proc.add(10, anon_kib=1000)
    bench.scout.scan()
    entry = bench.scout.entry(10)
    assert entry is not None and bench.rows()[10].gain_kib == 1000 + PROCESS_KIB
    entry.files_kib, entry.files_until_ms = 5000, 1e18
    assert bench.rows()[10].gain_kib == 6000 + PROCESS_KIB
    bench.scout.scan()  # a second look at the same process
    assert bench.rows()[10].gain_kib == 6000 + PROCESS_KIB
    later = bench.scout.entry(10)
    assert later is not None
    later.files_until_ms = 0.0
    assert bench.rows()[10].gain_kib == 1000 + PROCESS_KIB
