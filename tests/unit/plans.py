"""Hand-built plans and processes for tests: a plan over a fake /proc, and the fake /proc itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lmkd.model import Candidate
from lmkd.plan import Plan, Rule
from lmkd.policy.derive import derive
from lmkd.values import replace

PF_KTHREAD = 0x00200000
GRACE = (("foreground", 500), ("visible", 300), ("service", 200), ("background", 100), ("cached", 0))


def make_plan(base: Path, **changes: Any) -> Plan:
    """A plan of a 256 MB board whose /proc, socket and run directory are below ``base``."""
    plan = Plan(
        # A helper over the real /proc would raise whatever runs here.
        settings=derive(249856, 1024, 2048, 33, False, {"renice": False}),
        rules=(),
        class_grace_ms=GRACE,
        class_trim=(("visible", False), ("service", False), ("background", True), ("cached", True)),
        class_freeze=(("service", False), ("background", False), ("cached", False)),
        page_kib=4,
        cpus=1,
        proc=str(base / "proc"),
        zram_stat="",
        store_kind="zram",
        store_on_exit="keep",
        socket=str(base / "run" / "control"),
        run_dir=str(base / "run"),
        mirror=True,
        dry_run=False,
        some_us=33000,
        full_us=16500,
        window_us=500000,
        config_paths=(),
        reload_argv=("/nonexistent/planner",),
        notes=(),
        started_ms=0.0,
    )
    return replace(plan, **changes)


def make_rule(field: str, pattern: str, priority: int = 900, **changes: Any) -> Rule:
    """A rule with one glob."""
    rule = Rule("a rule", ((field, "glob", pattern),), priority, "", False, "", -1, "process", "lmkd.yaml:7")
    return replace(rule, **changes)


def make_candidate(pid: int, priority: int = 900, gain_kib: int = 4096, **changes: Any) -> Candidate:
    """A candidate that is all resident."""
    row = Candidate(pid, 100 + pid, priority, gain_kib, gain_kib, 0, 0, 0, -1, f"app{pid}")
    return replace(row, **changes)


def stat_text(pid: int, comm: bytes, state: str, parent: int, flags: int, start: int) -> bytes:
    """/proc/PID/stat as Linux 6.1 prints it."""
    head = b"%d (%s) %s %d 1 1 0 -1 %d 1 2 3 4 5 6 7 8 20 0 1 0 %d" % (
        pid,
        comm,
        state.encode(),
        parent,
        flags,
        start,
    )
    return head + b" 4096000 300 4294967295" + b" 0" * 26 + b"\n"


class FakeProc:
    """A /proc below a temporary folder; processes come and go as the test says."""

    def __init__(self, base: Path) -> None:
        self.root = base / "proc"
        self.root.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        pid: int,
        comm: bytes = b"app",
        parent: int = 1,
        start: int = 1000,
        anon_kib: int = 4096,
        swapped_kib: int = 0,
        adj: int = 0,
        exe: str = "",
        cmdline: bytes = b"",
        uid: int = 0,
        cgroup: str = "/",
        state: str = "S",
        kernel: bool = False,
    ) -> Path:
        """Put a process there, or change it."""
        folder = self.root / str(pid)
        (folder / "fd").mkdir(parents=True, exist_ok=True)
        flags = PF_KTHREAD if kernel else 0x400000
        (folder / "stat").write_bytes(stat_text(pid, comm, state, parent, flags, start))
        name = comm.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
        status = b"Name:\t%s\nState:\t%s (x)\nPid:\t%d\nPPid:\t%d\nUid:\t%d\t%d\t%d\t%d\n" % (
            name,
            state.encode(),
            pid,
            parent,
            uid,
            uid,
            uid,
            uid,
        )
        if not kernel and state != "Z":
            sizes = (b"RssAnon", anon_kib), (b"RssFile", 2048), (b"RssShmem", 0), (b"VmSwap", swapped_kib)
            status += b"".join(b"%s:\t%8d kB\n" % pair for pair in sizes)
        (folder / "status").write_bytes(status + b"Threads:\t1\n")
        (folder / "oom_score_adj").write_bytes(b"%d\n" % adj)
        (folder / "cmdline").write_bytes(cmdline)
        (folder / "comm").write_bytes(comm + b"\n")
        (folder / "cgroup").write_text(f"0::{cgroup}\n")
        link = folder / "exe"
        link.unlink(missing_ok=True)
        if exe:
            link.symlink_to(exe)
        return folder

    def open_file(self, pid: int, target: str) -> None:
        """Let a process hold a file."""
        folder = self.root / str(pid) / "fd"
        (folder / str(len(os.listdir(folder)))).symlink_to(target)

    def adj(self, pid: int) -> int:
        """What is in oom_score_adj now."""
        return int((self.root / str(pid) / "oom_score_adj").read_bytes())

    def remove(self, pid: int) -> None:
        """Let a process be gone."""
        folder = self.root / str(pid)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        folder.rmdir()
