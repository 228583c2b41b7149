"""The lock of the one guard: kept over exec, by nobody's child, and gone with its process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmkd.errors import EXIT_FAILED, LmkdError
from lmkd.kernel.alone import claim, is_guarded
from lmkd.kernel.files import system_roots
from lmkd.planner import _beside
from lmkd.values import replace
from tests.unit.plans import make_plan
from tests.unit.source_tree import ROOT

# Locks, and becomes another program, as the planner does; with a child that outlives it, as the helper may.
HOLDER = """
import os, sys
from pathlib import Path
from lmkd.kernel.alone import claim
assert claim(Path(sys.argv[1])) > 2
if sys.argv[2:] == ["child"] and os.fork() == 0:
    os.read(0, 1)
    os._exit(0)
os.execv("/bin/sh", ["sh", "-c", "echo locked; read -r line"])
"""
Hold = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "run"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        started.append(process)
        assert process.stdout and process.stdout.readline() == "locked\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_while_one_guards_another_is_refused_and_told_who_it_is(tmp_path: Path, hold: Hold) -> None:
    pid = hold().pid
    with pytest.raises(LmkdError, match=f"another lmkd guards this board: process {pid} ") as raised:
        claim(tmp_path / "run")
    assert raised.value.exit_code == EXIT_FAILED  # whose supervisor tries again: the other may die


@pytest.mark.parametrize("arguments", [(), ("child",)])
def test_what_is_killed_leaves_no_lock_even_where_a_child_of_it_lives_on(
    tmp_path: Path, hold: Hold, arguments: tuple[str, ...]
) -> None:
    holder = hold(*arguments)
    holder.kill()
    holder.wait()
    os.close(claim(tmp_path / "run"))


def test_a_name_that_is_shorter_than_the_last_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "guard.lock").write_text("12345678901234\n")
    descriptor = claim(tmp_path)
    assert (tmp_path / "guard.lock").read_text() == f"{os.getpid()}\n"
    assert os.get_inheritable(descriptor)
    os.close(descriptor)


def test_where_nothing_can_be_written_it_goes_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert claim(tmp_path / "file") == -1
    (tmp_path / "guard.lock").symlink_to(tmp_path / "file")
    assert claim(tmp_path) == -1


def test_whether_another_guards_is_told_without_taking_its_lock(tmp_path: Path, hold: Hold) -> None:
    run = tmp_path / "run"
    assert not is_guarded(run)
    process = hold()
    assert is_guarded(run) and is_guarded(run)
    process.kill()
    process.wait()
    assert not is_guarded(run)
    hold()  # looking has left no lock


@pytest.mark.parametrize(("dry_run", "beside"), [(True, True), (True, False), (False, True)])
def test_a_dry_run_leaves_the_guard_its_sockets_and_says_so(
    tmp_path: Path, hold: Hold, dry_run: bool, beside: bool
) -> None:
    if beside:
        hold()
    plan = make_plan(tmp_path, dry_run=dry_run, android_socket="/dev/socket/lmkd")
    found = _beside(plan, replace(system_roots(), run=tmp_path / "run"))
    if not (dry_run and beside):
        assert found is plan
        return
    assert (found.socket, found.android_socket) == ("", "")
    [(event, fields, level)] = found.notes
    assert (event, level) == ("degraded", "warning") and plan.socket in str(dict(fields)["cost"])
