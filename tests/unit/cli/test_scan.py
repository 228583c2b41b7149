"""The kill order without a daemon: pure order, and a scan of a made-up /proc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from lmkd.cli.scan import Allowances, Process, kill_order, parse_cgroup, parse_status_kib, read_processes
from lmkd.helper.entry import Classes, Entry
from lmkd.helper.gain import PROCESS_KIB
from lmkd.kernel.process import Stat
from lmkd.model import FLAG_DECLARED_FOREGROUND, FLAG_FREEZE, FLAG_TRIM
from lmkd.plan import Rule
from lmkd.values import replace
from tests.unit.plans import make_plan

PLAIN = Process(
    pid=100, comm="app", exe="/usr/bin/app", cmdline="app -x", user="root", uid=0, cgroup="/",
    oom_score_adj=0, resident_kib=5000, anonymous_kib=4000, swapped_kib=1000,
)  # fmt: skip


def rule(pattern: str, priority: int, protect: bool = False, field: str = "comm") -> tuple[Any, ...]:
    matchers = ((field, "exact", pattern),)
    return ("name", matchers, priority, "", protect, "", -1, "process", f"lmkd.yaml:{priority}", None, None)


def test_the_highest_priority_number_dies_first_and_the_smallest_gain_within_one() -> None:
    processes = [
        replace(PLAIN, pid=2, oom_score_adj=0),
        replace(PLAIN, pid=3, oom_score_adj=900, anonymous_kib=9000),
        replace(PLAIN, pid=4, oom_score_adj=900, anonymous_kib=10),
        replace(PLAIN, pid=1, oom_score_adj=0),
    ]
    assert [row["pid"] for row in kill_order(processes, (), None)] == [4, 3, 2, 1]


def test_a_rule_overrides_the_processes_own_number_and_is_named() -> None:
    (row,) = kill_order([replace(PLAIN, oom_score_adj=-1000)], (rule("other", 1), rule("app", 700)), None)
    assert (row["priority"], row["class"], row["rule"]) == (700, "background", "lmkd.yaml:700")


def test_what_no_rule_matches_keeps_its_own_number() -> None:
    (row,) = kill_order([replace(PLAIN, oom_score_adj=300)], (rule("other", 1),), None)
    assert (row["priority"], row["rule"]) == (300, "own oom_score_adj")


def test_protected_processes_and_process_1_come_last_whatever_their_rule() -> None:
    other = replace(PLAIN, pid=8, comm="b", oom_score_adj=-999)
    rules = (rule("app", 500, protect=True),)
    rows = kill_order([replace(PLAIN, pid=1), replace(PLAIN, pid=7), other], rules, None)
    assert [(row["pid"], row["priority"]) for row in rows] == [(8, -999), (1, -1000), (7, -1000)]


@pytest.mark.parametrize(
    ("swapped_kib", "share", "gain_kib"), [(1000, 0.25, 4250), (1000, None, 4000), (None, 0.5, 4000)]
)
def test_gain_is_resident_anonymous_plus_what_swapped_pages_occupy(
    swapped_kib: int | None, share: float | None, gain_kib: int
) -> None:
    (row,) = kill_order([replace(PLAIN, swapped_kib=swapped_kib)], (), share)
    assert row["gain_kib"] == gain_kib + PROCESS_KIB
    assert row["swapped_kib"] == swapped_kib


@pytest.mark.parametrize("priority", [-1000, -5, 0, 50, 100, 500, 700, 899, 1000])
@pytest.mark.parametrize(("grace_ms", "trim", "freeze"), [(-1, None, None), (0, True, True), (70, False, False)])
@pytest.mark.parametrize("ruled", [True, False])
def test_what_may_be_done_to_a_process_is_what_the_helper_says(
    tmp_path: Path, priority: int, grace_ms: int, trim: bool | None, freeze: bool | None, ruled: bool
) -> None:
    row = ("r", (("comm", "exact", "app"),), priority, "", priority == -1000, "", grace_ms, "tree", "f:1", trim, freeze)
    plan = make_plan(tmp_path, rules=(Rule(*row),), class_freeze=(("service", True), ("cached", True)))
    entry = Entry(Stat("app", "S", 1, 100))
    entry.priority, entry.own_adj = priority, not ruled
    entry.rule, entry.grace_ms = (0, grace_ms) if ruled else (-1, -1)
    flags, helpers_grace_ms = Classes(plan).flags(entry), Classes(plan).grace_ms(entry)
    allowances = Allowances(plan.class_grace_ms, plan.class_trim, plan.class_freeze)
    (found,) = kill_order([replace(PLAIN, oom_score_adj=priority)], (row,) if ruled else (), None, allowances)
    assert (found["trim"], found["freeze"]) == (bool(flags & FLAG_TRIM), bool(flags & FLAG_FREEZE))
    assert found["declared"] == bool(flags & FLAG_DECLARED_FOREGROUND)
    assert found["grace_ms"] == helpers_grace_ms
    assert (found["rule_name"], found["group"]) == (("r", "tree") if ruled else (None, "process"))
    assert bool(found["rule_match"]) == ruled


def test_a_rule_on_the_unit_sees_the_unit_of_the_cgroup() -> None:
    process = replace(PLAIN, cgroup="/system.slice/player.service")
    (row,) = kill_order([process], (rule("player.service", 100, field="unit"),), None)
    assert row["priority"] == 100


def test_page_tables_come_back_with_a_death() -> None:
    rows = [kill_order([process], (), 0.5)[0] for process in (PLAIN, replace(PLAIN, tables_kib=24))]
    assert rows[1]["gain_kib"] - rows[0]["gain_kib"] == 24


def test_sizes_are_read_from_status_whatever_the_name_is() -> None:
    text = "Name:\tVmRSS:\\n 9\nState:\tS\nVmRSS:\t    5000 kB\nRssAnon:\t 12 kB\nVmSwap:\t  3 kB\n"
    assert parse_status_kib(text) == {"VmRSS": 5000, "RssAnon": 12, "VmSwap": 3}


def test_a_process_without_memory_of_its_own_has_no_sizes() -> None:
    assert parse_status_kib("Name:\tkthreadd\nState:\tS\n") == {}


@pytest.mark.parametrize("text", ["VmRSS:\tmany kB\n", "VmRSS:\n", "VmRSS:\t1 MB\n"])
def test_a_size_that_is_no_number_of_kb_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_status_kib(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/a.service\n", "/system.slice/a.service"),
        ("12:memory:/m\n1:name=systemd:/user.slice\n", "/user.slice"),
        ("1:name=systemd:/legacy\n0::/unified:with:colons\n", "/unified:with:colons"),
        ("4:memory:/only\n", None),
        ("", None),
        ("odd\n", None),
    ],
)
def test_the_cgroup_is_the_unified_one_or_systemds(text: str, path: str | None) -> None:
    assert parse_cgroup(text) == path


def fake_process(proc: Path, pid: int, name: str, memory: str, adj: str = "0\n") -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(f"{pid} ({name}) S 1 {' 0' * 47}\n")
    (folder / "status").write_text(f"Name:\t{name}\nUid:\t0\t0\t0\t0\n{memory}")
    (folder / "cmdline").write_bytes(b"/usr/bin/" + name.encode() + b"-and-more\0--option\0")
    (folder / "oom_score_adj").write_text(adj)
    (folder / "cgroup").write_text("0::/x.slice\n")
    (folder / "exe").symlink_to(f"/usr/bin/{name}-and-more")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(psutil, "PROCFS_PATH", psutil.PROCFS_PATH)
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "stat").write_text("btime 1700000000\n")
    return proc


def test_a_scan_sees_what_proc_says_and_passes_over_what_it_cannot_use(proc: Path) -> None:
    sizes = "VmRSS:\t100 kB\nRssAnon:\t60 kB\nVmPTE:\t8 kB\nVmSwap:\t4 kB\n"
    fake_process(proc, 300, "long-name-of-15", sizes, "200\n")
    fake_process(proc, 301, "kernel-thread", "")
    fake_process(proc, 302, "odd-size", "VmRSS:\tmany kB\n")
    fake_process(proc, 303, "odd-adj", "VmRSS:\t1 kB\n", "high\n")
    (found,) = read_processes(proc)
    assert found == Process(
        pid=300, comm="long-name-of-15", exe="/usr/bin/long-name-of-15-and-more",
        cmdline="/usr/bin/long-name-of-15-and-more --option", user="root", uid=0, cgroup="/x.slice",
        oom_score_adj=200, resident_kib=100, anonymous_kib=60, swapped_kib=4, tables_kib=8,
    )  # fmt: skip
