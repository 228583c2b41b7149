"""Stopping and letting go, of real children of the test and of fake groups; whoever dies, nobody stays stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.guard.act import RealPort
from lmkd.helper.stopped import STOPPED_MAX, Stopped, parse_list
from lmkd.kernel.process import read_stat
from tests.unit.guard.children import child
from tests.unit.kernel.test_freezer import make_group
from tests.unit.plans import FakeProc


class Bench:
    """Those that are stopped, and what was reported."""

    def __init__(self, folder: Path, proc: str = "/proc") -> None:
        self.list = folder / "stopped"
        self.reports: list[tuple[str, dict[str, Any], str]] = []
        self.stopped = Stopped(proc, str(folder), RealPort(proc), self._report)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        self.reports.append((event, dict(fields), level))

    def stop(self, pid: int, ms: float = 60_000, offset: int = 0, proc: str = "/proc") -> bool:
        stat = read_stat(proc, pid)
        start = (stat.start_ticks if stat else 0) + offset
        return self.stopped.stop("hold", pid, start, "app", ms, {pid}, round=1, reason="it came back")

    def last(self) -> dict[str, Any]:
        return self.reports[-1][1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "run")
    yield made
    made.stopped.release_all("the test is over")


def state_of(pid: int) -> str:
    stat = read_stat("/proc", pid)
    return stat.state if stat is not None else ""


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_one_is_stopped_listed_and_let_go(bench: Bench) -> None:
    with child() as process:
        assert bench.stop(process.pid)
        until(lambda: state_of(process.pid) == "T")
        assert bench.list.read_text().startswith(f"{process.pid} ")
        fields = {"pid": process.pid, "name": "app", "ms": 60_000, "how": "signal"}
        assert bench.reports == [("hold", fields | {"round": 1, "reason": "it came back"}, "info")]
        bench.stopped.release(process.pid, "enough")
        until(lambda: state_of(process.pid) != "T")
        assert not bench.list.exists()
        assert (bench.reports[-1][0], bench.last()["reason"]) == ("release", "enough")
        assert process.poll() is None


def test_the_time_is_kept_and_then_it_runs_on(bench: Bench) -> None:
    with child() as process:
        assert bench.stopped.timeout_ms() is None
        bench.stop(process.pid, ms=80)
        left = bench.stopped.timeout_ms()
        assert left is not None and 0 < left <= 80
        bench.stopped.turn()
        assert process.pid in bench.stopped
        time.sleep(0.09)
        assert bench.stopped.timeout_ms() == 0
        bench.stopped.turn()
        until(lambda: state_of(process.pid) != "T")
        assert bench.last()["reason"] == "its time is over" and 80 <= bench.last()["ms"] < 5000


def test_a_stopped_one_can_be_killed_and_its_death_is_noticed(bench: Bench) -> None:
    with child() as process:
        bench.stop(process.pid)
        process.kill()
        process.wait(10)
        bench.stopped.turn()
        assert (bench.last()["reason"], len(bench.stopped), bench.list.exists()) == ("it has died", 0, False)


def test_who_is_gone_another_now_or_stopped_already_is_refused(bench: Bench) -> None:
    with child() as process:
        assert not bench.stop(process.pid, offset=1)
        assert bench.last()["refused"] == "it is gone"
        bench.stop(process.pid)
        assert not bench.stop(process.pid)
        assert bench.last()["refused"] == "it is stopped already"
        until(lambda: state_of(process.pid) == "T")
        other = Bench(bench.list.parent / "other")
        assert not other.stop(process.pid)  # stopped by somebody else, who will want it so
        assert other.last() == {
            "pid": process.pid, "name": "app", "ms": 60_000, "how": "", "round": 1, "reason": "it came back",
            "refused": "it is stopped already",
        }  # fmt: skip
    assert not bench.stop(process.pid)
    assert bench.last()["refused"] == "it is gone"


def test_without_a_list_nobody_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bench = Bench(tmp_path / "file")
    with child() as process:
        assert not bench.stop(process.pid)
        assert "Not a directory" in bench.last()["refused"] or "File exists" in bench.last()["refused"]
        assert (state_of(process.pid) in "SR", len(bench.stopped)) == (True, 0)


def test_the_next_helper_lets_go_whom_the_list_names(bench: Bench) -> None:
    with child() as one, child() as other:
        bench.stop(one.pid)
        bench.stop(other.pid)
        until(lambda: state_of(one.pid) == state_of(other.pid) == "T")
        following = Bench(bench.list.parent)
        following.stopped.thaw_left()
        until(lambda: "T" not in state_of(one.pid) + state_of(other.pid))
        assert not bench.list.exists()
        assert [(event, fields["ms"]) for event, fields, _ in following.reports] == [("release", None)] * 2


def test_a_torn_or_odd_list_is_reported_and_the_rest_of_it_let_go(bench: Bench) -> None:
    with child() as process:
        bench.stop(process.pid)
        until(lambda: state_of(process.pid) == "T")
        with bench.list.open("ab") as file:
            file.write(b"\xff\n12 x signal \n1 1 signal \n99 1 cgroup /../x\n99 1 signal /x\n99 1 freeze \n77 1 sig")
        following = Bench(bench.list.parent)
        following.stopped.thaw_left()
        until(lambda: state_of(process.pid) != "T")
        assert [event for event, _, _ in following.reports] == ["release", "degraded"]
        assert ": 7 lines are not understood" in following.last()["cost"]
        assert not bench.list.exists()


def test_another_process_that_got_the_pid_is_left_alone(bench: Bench) -> None:
    bench.list.parent.mkdir()
    with child() as process:
        os.kill(process.pid, 19)
        until(lambda: state_of(process.pid) == "T")
        bench.list.write_text(f"{process.pid} 1 signal \n")
        bench.stopped.thaw_left()
        assert state_of(process.pid) == "T"


def test_without_a_list_there_is_nothing_to_thaw(bench: Bench) -> None:
    bench.stopped.thaw_left()
    assert bench.reports == []


@given(st.binary(max_size=200))
def test_no_list_however_odd_is_trusted(data: bytes) -> None:
    found, odd = parse_list(data)
    assert len(found) + odd <= data.count(b"\n") + 1
    assert all(one.pid > 1 and (one.how == "cgroup") == bool(one.path) for one in found)


class Board:
    """Fake processes in fake groups."""

    def __init__(self, base: Path) -> None:
        self.proc = FakeProc(base)
        (self.proc.root / "self").mkdir()
        (self.proc.root / "self" / "mounts").write_text(f"cgroup2 {base}/cgroup cgroup2 rw 0 0\n")
        self.bench = Bench(base / "run", str(self.proc.root))

    def stop(self, pid: int) -> bool:
        return self.bench.stop(pid, proc=str(self.proc.root))


def test_one_that_has_a_group_of_its_own_is_frozen_with_it(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.proc.add(10, cgroup="/app one")
    freeze = make_group(tmp_path, "/app one", "10\n") / "cgroup.freeze"
    assert board.stop(10)
    assert (freeze.read_text()[0], board.bench.last()["how"]) == ("1", "cgroup")
    assert board.bench.list.read_text() == "10 1000 cgroup /app one\n"
    board.bench.stopped.release(10, "it is ended")
    assert freeze.read_text()[0] == "0"


def test_the_group_of_one_that_died_is_thawed_for_its_successor(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.proc.add(10, cgroup="/app")
    freeze = make_group(tmp_path, "/app", "10\n") / "cgroup.freeze"
    board.stop(10)
    board.proc.remove(10)
    board.bench.stopped.turn()
    assert (freeze.read_text()[0], board.bench.last()["reason"]) == ("0", "it has died")


def test_a_group_that_somebody_else_froze_is_not_ours_to_thaw(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.proc.add(10, cgroup="/app")
    make_group(tmp_path, "/app", "10\n", frozen="1\n")
    assert not board.stop(10)
    assert board.bench.last()["refused"] == "it is stopped already"


def test_a_group_that_a_dead_helper_froze_is_thawed(tmp_path: Path) -> None:
    board = Board(tmp_path)
    freeze = make_group(tmp_path, "/app", "", frozen="1\n") / "cgroup.freeze"
    board.bench.list.parent.mkdir()
    board.bench.list.write_text("10 1000 cgroup /app\n11 1000 cgroup /gone\n")
    board.bench.stopped.thaw_left()
    assert freeze.read_text()[0] == "0"
    assert [fields["how"] for _, fields, _ in board.bench.reports] == ["cgroup", "cgroup"]


def test_how_many_are_stopped_is_bounded(tmp_path: Path) -> None:
    board = Board(tmp_path)
    for pid in range(10, 11 + STOPPED_MAX):
        board.proc.add(pid, cgroup=f"/app{pid}")
        make_group(tmp_path, f"/app{pid}", f"{pid}\n")
        board.stop(pid)
    assert len(board.bench.stopped) == STOPPED_MAX
    assert board.bench.last()["refused"] == "too many are stopped"
