"""A reload through a planner that the test writes; a child's end within a limit; the guard's plan at its start."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from lmkd.guard.reload import Reload
from lmkd.plan import Plan, dump_plan, load_plan
from lmkd.resident.fork import await_child
from lmkd.values import replace
from tests.unit.guard.children import DEAF, child
from tests.unit.plans import make_plan, make_rule


class Records:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, object], str]] = []

    def note(self, event: str, fields: tuple[tuple[str, object], ...], level: str = "info") -> None:
        self.notes.append((event, dict(fields), level))


def planner(tmp_path: Path, script: str) -> Plan:
    """A plan whose planner is this script; ``fd`` is where it has to write, its arguments go to a file."""
    path = tmp_path / "planner.py"
    keep = f"open({str(tmp_path / 'argv')!r}, 'w').write(' '.join(sys.argv[1:]))"
    path.write_text(f"import os, sys\nfd = int(sys.argv[3])\n{keep}\n{script}")
    return make_plan(tmp_path, reload_argv=(sys.executable, "-I", "-S", str(path)))


def finish(reload: Reload, records: Records) -> Plan | None:
    pid, status = os.waitpid(reload.child, 0)
    assert pid == reload.child
    return reload.finish(status, records)


def test_a_good_file_gives_the_next_plan(tmp_path: Path) -> None:
    made = make_plan(tmp_path, rules=(make_rule("comm", "ui"),), sources=("/etc/lmkd/lmkd.yaml",))
    (tmp_path / "made").write_bytes(dump_plan(made))
    plan = planner(tmp_path, f"os.write(fd, open({str(tmp_path / 'made')!r}, 'rb').read())")
    plan = replace(plan, config_paths=("/a b.yaml", "/c.yaml"), dry_run=True)
    reload, records = Reload(), Records()
    before = os.listdir("/proc/self/fd")
    reload.start(plan, records)
    assert finish(reload, records) == made
    assert records.notes == [("reload", {"rules": 1, "files": ("/etc/lmkd/lmkd.yaml",)}, "info")]
    words = (tmp_path / "argv").read_text().split(" ", 3)
    assert words[:2] == ["run", "--plan-to"] and words[3] == "--config /a b.yaml --config /c.yaml --dry-run"
    for _ in range(2):
        assert load_plan(Path(f"/proc/self/fd/{reload.given}").read_bytes()) == made
        reload.start(plan, records)
        assert finish(reload, records) == made
    assert (reload.child, len(os.listdir("/proc/self/fd"))) == (0, len(before) + 1)  # the last plan, for the helper
    os.close(reload.given)


def test_a_bad_file_leaves_the_plan_before_it_to_be_read(tmp_path: Path) -> None:
    made = make_plan(tmp_path)
    (tmp_path / "made").write_bytes(dump_plan(made))
    reload, records = Reload(), Records()
    reload.start(planner(tmp_path, f"os.write(fd, open({str(tmp_path / 'made')!r}, 'rb').read())"), records)
    finish(reload, records)
    reload.start(planner(tmp_path, "os.write(fd, b'bad')\nsys.exit(2)"), records)
    assert finish(reload, records) is None
    assert load_plan(Path(f"/proc/self/fd/{reload.given}").read_bytes()) == made
    os.close(reload.given)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("os.write(fd, b'lmkd.yaml:3:1: odd key'); sys.exit(2)", "lmkd.yaml:3:1: odd key"),
        ("sys.exit(3)", "the planner ended with 3"),
        ("os.kill(os.getpid(), 9)", "the planner ended with -9"),
        ("os.write(fd, b'no plan')", "plan: not a whole plan"),
        ("", "plan: not a whole plan"),
        ("os.write(fd, b'\\xff' * 5000); sys.exit(2)", "\ufffd" * 1500),
    ],
)
def test_a_bad_file_changes_nothing_and_says_why(tmp_path: Path, script: str, reason: str) -> None:
    reload, records = Reload(), Records()
    before = os.listdir("/proc/self/fd")
    reload.start(planner(tmp_path, script), records)
    assert finish(reload, records) is None
    [(event, fields, level)] = records.notes
    assert (event, level) == ("reload_failed", "error")
    assert str(fields["reason"]).startswith(reason)
    assert os.listdir("/proc/self/fd") == before


def test_a_planner_that_is_not_there_is_a_record(tmp_path: Path) -> None:
    reload, records = Reload(), Records()
    before = os.listdir("/proc/self/fd")
    reload.start(make_plan(tmp_path), records)
    assert reload.child == 0
    assert records.notes == [
        ("reload_failed", {"reason": "/nonexistent/planner: No such file or directory"}, "error")
    ]
    assert os.listdir("/proc/self/fd") == before


def test_asking_during_a_reload_asks_for_another_one(tmp_path: Path) -> None:
    plan = planner(tmp_path, "sys.exit(3)")
    reload, records = Reload(), Records()
    reload.start(plan, records)
    first = reload.child
    asked = [reload.asked_again]
    reload.start(plan, records)
    assert reload.child == first
    asked.append(reload.asked_again)
    finish(reload, records)
    asked.append(reload.asked_again)
    reload.start(plan, records)
    asked.append(reload.asked_again)
    assert reload.child not in (0, first)
    assert asked == [False, True, True, False]
    finish(reload, records)


@pytest.mark.parametrize(("script", "limit_ms"), [("print()", 10_000), (DEAF, 50)])
def test_a_child_is_waited_for_and_no_longer_than_the_limit(script: str, limit_ms: float) -> None:
    with child(script) as process:
        started = time.monotonic()
        await_child(process.pid, limit_ms)
        assert time.monotonic() - started < 10
        with pytest.raises(ChildProcessError):
            os.waitpid(process.pid, 0)
