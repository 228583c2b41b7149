"""The board of another Debian suite, with a later kernel and Python: how it is asked for, and that lmkd holds there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.board import interpreter
from tests.board.archive import DEFAULT_SUITE, SUITES
from tests.board.bench import Seeds, wanted_jobs
from tests.board.boards import find
from tests.board.image import base_key, compile_tree
from tests.board.packages import BoardError
from tests.board.records import events, figure, one_event
from tests.board.results import Job, stamp
from tests.board.scenario import Result

LATER = "grow-30-comp@trixie"

pytestmark = pytest.mark.board


def test_a_name_asks_for_a_suite_and_nothing_else_changes() -> None:
    plain, later = find("grow-30-comp"), find(LATER)
    assert (plain.suite, later.suite, later.name) == (DEFAULT_SUITE, "trixie", LATER)
    assert (later.load, later.bounds, later.seconds) == (plain.load, plain.bounds, plain.seconds)
    assert find("grow-30-comp@bookworm") == plain
    assert find("small-150@64@trixie").mem_mb == 64
    with pytest.raises(BoardError, match="no scenario named"):
        find("grow-30-comp@sarge")


def test_suites_share_no_base_and_no_results() -> None:
    assert len({base_key(suite) for suite in SUITES}) == len(SUITES)
    plain, later = Job("fits-150", "none", 1), Job("fits-150", "none", 1, "trixie")
    assert plain.key != later.key and stamp(plain) != stamp(later)
    assert {job.suite for job in wanted_jobs(Seeds(), "trixie")} == {"trixie"}


def test_a_machine_with_the_board_s_python_needs_no_other() -> None:
    assert interpreter.machine_python(f"{sys.version_info.major}.{sys.version_info.minor}") == sys.executable


def test_a_python_that_is_another_or_does_not_start_is_not_taken(tmp_path: Path) -> None:
    """Given as an argument, not in the environment: boards of other tests start meanwhile and look for QEMU there."""
    shim = tmp_path / "python3.99"
    for text in ("#!/bin/sh\nexit 127\n", f"#!/bin/sh\nexec {sys.executable} \"$@\"\n", "no program"):
        shim.write_text(text, encoding="utf-8")
        shim.chmod(0o755)
        assert interpreter.machine_python("3.99", search=str(tmp_path)) is None, text


def test_what_was_not_byte_compiled_is_said(tmp_path: Path) -> None:
    """Its workers may fail and it not: the board would compile at each start, and its figures be of that."""
    tree = tmp_path / "package"
    tree.mkdir()
    (tree / "module.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(BoardError, match="did not byte-compile"):
        compile_tree("/bin/true", [tree], tmp_path, "/")
    compile_tree(sys.executable, [tree], tmp_path, "/")
    assert list(tree.rglob("*.pyc"))


@pytest.mark.runs(LATER)
def test_on_a_later_kernel_and_python_it_is_ready_soon(result: Result) -> None:
    assert 0 < one_event(result.outcome, "ready")["ms"] <= 3000
    assert figure(result, "manager_pss_kib") <= 8.5 * 1024


@pytest.mark.runs(LATER)
def test_on_a_later_kernel_and_python_growth_is_held(result: Result) -> None:
    assert figure(result, "foreground_alive") is True and figure(result, "oom_kill_delta") == 0
    assert figure(result, "grow_died") is True and figure(result, "background_kept") >= 6
    assert events(result.outcome, "trim") and events(result.outcome, "receipt")
