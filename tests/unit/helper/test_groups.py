"""Groups: what dies with a victim, and what does not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from lmkd.guard.act import RealPort
from lmkd.helper.groups import descendants, end_group, members
from lmkd.helper.scout import Scout
from lmkd.kernel.process import read_stat


class Known:
    """A scout that knows these processes: pid to (start ticks, priority), and their parents."""

    def __init__(self, identities: dict[int, tuple[int, int]], parents: dict[int, int] | None = None) -> None:
        self._identities = identities
        self._parents = parents or {}

    def identity(self, pid: int) -> tuple[int, int] | None:
        return self._identities.get(pid)

    def parents(self) -> list[tuple[int, int]]:
        return list(self._parents.items())

    def pids(self) -> list[int]:
        return list(self._identities)


def scout_of(identities: dict[int, tuple[int, int]], parents: dict[int, int] | None = None) -> Scout:
    return cast(Scout, Known(identities, parents))


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield process
    process.kill()
    process.wait()


def start_of(pid: int) -> int:
    stat = read_stat("/proc", pid)
    assert stat is not None
    return stat.start_ticks


def test_descendants_are_found_through_generations_and_cycles_end() -> None:
    parents = [(11, 10), (12, 11), (13, 12), (20, 1), (10, 13)]
    assert sorted(descendants(10, parents)) == [11, 12, 13]
    assert descendants(20, parents) == []


def test_a_tree_has_no_brothers() -> None:
    assert members(scout_of({}, {5: 1, 6: 5, 7: 1}), "/proc", 5, "tree", "") == [6]


def test_everything_may_be_in_the_root_cgroup_so_that_is_no_group() -> None:
    scout = scout_of({1: (1, 0)})
    assert members(scout, "/proc", 2, "cgroup", "/") == []
    assert members(scout, "/proc", 2, "cgroup", "") == []


def test_a_cgroup_rule_takes_those_in_the_same_cgroup(tmp_path: Path) -> None:
    for pid, path in ((5, "/app"), (6, "/app"), (7, "/other")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cgroup").write_text(f"0::{path}\n")
    scout = scout_of({5: (1, 900), 6: (1, 900), 7: (1, 900)})
    assert members(scout, str(tmp_path), 5, "cgroup", "/app") == [6]
    assert members(scout, str(tmp_path), 5, "process", "/app") == []


def test_a_member_is_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    scout = scout_of({sleeper.pid: (start_of(sleeper.pid), 900)})
    assert end_group(scout, RealPort("/proc"), [sleeper.pid], "SIGKILL") == [sleeper.pid]
    assert sleeper.wait(5) == -signal.SIGKILL


def test_a_protected_member_an_unknown_one_and_another_with_its_pid_live_on(sleeper: subprocess.Popen[bytes]) -> None:
    start = start_of(sleeper.pid)
    port = RealPort("/proc")
    assert end_group(scout_of({sleeper.pid: (start, -1000)}), port, [sleeper.pid], "SIGKILL") == []
    assert end_group(scout_of({}), port, [sleeper.pid], "SIGKILL") == []
    assert end_group(scout_of({sleeper.pid: (start + 1, 900)}), port, [sleeper.pid], "SIGKILL") == []
    assert sleeper.poll() is None
