"""The pager where an application has a cgroup for itself: the kernel reclaims from the group, files and all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.kernel.madvise import COLD
from lmkd.model import Candidate
from lmkd.values import replace
from tests.unit.guard.children import child
from tests.unit.helper.pages import MIB, descriptors
from tests.unit.helper.pages import Bench as Pages

ALL_KIB = 1 << 20
PIECE = 256 << 10


class Bench(Pages):
    """A pager with a fake cgroup2, in which one application has the group /app."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, str(base / "cgroup"))
        self.group = base / "cgroup" / "app"
        self.group.mkdir(parents=True)
        (self.group / "cgroup.freeze").write_text("0\n")
        (self.group / "memory.reclaim").write_text("")

    def member(self, pid: int, *others: int) -> Candidate:
        """An application in that group, perhaps with others."""
        row = self.add(pid)
        (self.proc.root / str(pid) / "cgroup").write_text("0::/app\n")
        (self.group / "cgroup.procs").write_text("".join(f"{one}\n" for one in (pid, *others)))
        return row

    def told(self) -> str:
        """What the group was told to give back last."""
        return (self.group / "memory.reclaim").read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    before = descriptors()
    yield made
    made.drain()
    assert descriptors() == before, "a descriptor was left open"


@pytest.fixture(scope="module")
def pid() -> Iterator[int]:
    with child() as process:
        yield process.pid


def test_a_group_of_its_own_is_reclaimed_from_piece_by_piece_as_much_as_it_has(bench: Bench, pid: int) -> None:
    bench.trim(ALL_KIB, bench.member(pid))
    bench.drain(turns=MIB // PIECE + 1)
    assert (bench.told(), bench.kernel.advised) == (str(PIECE), [])
    [(event, fields, _)] = bench.reports
    assert (event, fields["how"], fields["advised_kib"]) == ("trim", "memory.reclaim", 1024)


def test_it_ends_when_what_was_wanted_has_gone(bench: Bench, pid: int) -> None:
    bench.trim(2 * PIECE >> 10, bench.member(pid))
    bench.drain()
    assert bench.reports[0][1]["advised_kib"] == 2 * PIECE >> 10


def test_a_group_that_has_no_more_to_give_ends_it(bench: Bench, pid: int) -> None:
    row = bench.member(pid)
    (bench.group / "memory.reclaim").unlink()
    (bench.group / "memory.reclaim").symlink_to("/dev/full")
    bench.trim(ALL_KIB, row)
    bench.drain(turns=2)
    assert bench.reports[0][1]["advised_kib"] == 0


def test_a_group_that_is_gone_meanwhile_ends_it(bench: Bench, pid: int) -> None:
    bench.trim(ALL_KIB, bench.member(pid))
    bench.pager.turn()
    (bench.group / "memory.reclaim").unlink()
    bench.drain(turns=2)
    assert bench.reports[0][1]["advised_kib"] == PIECE >> 10


def test_a_group_that_somebody_shares_is_left_alone(bench: Bench, pid: int) -> None:
    bench.trim(ALL_KIB, bench.member(pid, 1))
    bench.drain()
    assert (bench.told(), len(bench.kernel.advised)) == ("", MIB // PIECE)


def test_without_such_a_file_the_mappings_are_advised_about(bench: Bench, pid: int) -> None:
    row = bench.member(pid)
    (bench.group / "memory.reclaim").unlink()
    bench.trim(ALL_KIB, row)
    bench.drain()
    assert (bench.reports[0][1]["how"], len(bench.kernel.advised)) == ("process_madvise", MIB // PIECE)


def test_what_grows_is_marked_and_not_reclaimed(bench: Bench, pid: int) -> None:
    bench.pager.cool(replace(bench.member(pid), resident_kib=90_000))
    bench.drain()
    assert bench.told() == ""
    assert {advice for *_, advice in bench.kernel.advised} == {COLD}
