"""cgroup.freeze over a fake hierarchy: which group is a process's own, and what freezing it comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.kernel.freezer import find_mount, freeze, is_frozen, is_path, own_group
from tests.unit.plans import FakeProc


def make_group(base: Path, path: str, members: str, frozen: str = "0\n") -> Path:
    """A group as the kernel shows it."""
    folder = base / "cgroup" / path.strip("/")
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text(members)
    (folder / "cgroup.freeze").write_text(frozen)
    return folder


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    proc = FakeProc(tmp_path)
    (proc.root / "self").mkdir()
    mounts = f"sysfs /sys sysfs rw 0 0\ncgroup2 {tmp_path}/cgroup cgroup2 rw 0 0\n"
    (proc.root / "self" / "mounts").write_text(mounts)
    proc.add(10, cgroup="/app")
    return proc


def own(tmp_path: Path, proc: FakeProc, family: set[int]) -> str:
    return own_group(str(proc.root), str(tmp_path / "cgroup"), 10, family)


def test_the_mount_is_found_or_empty(tmp_path: Path, proc: FakeProc) -> None:
    assert find_mount(str(proc.root)) == f"{tmp_path}/cgroup"
    (proc.root / "self" / "mounts").write_text("cgroup /sys/fs/cgroup cgroup rw 0 0\n")
    assert find_mount(str(proc.root)) == ""
    assert find_mount("/nonexistent") == ""


def test_a_group_of_its_own_is_one_that_holds_it_and_its_family(tmp_path: Path, proc: FakeProc) -> None:
    make_group(tmp_path, "/app", "10\n11\n")
    assert own(tmp_path, proc, {10, 11}) == "/app"
    assert own(tmp_path, proc, {10}) == ""


@pytest.mark.parametrize("members", ["", "11\n", "0\n10\n", "10\nx\n"])
def test_a_group_that_does_not_hold_it_or_holds_who_knows_is_not_its_own(
    tmp_path: Path, proc: FakeProc, members: str
) -> None:
    make_group(tmp_path, "/app", members)
    assert own(tmp_path, proc, {10, 11}) == ""


def test_groups_below_it_would_be_frozen_as_well(tmp_path: Path, proc: FakeProc) -> None:
    folder = make_group(tmp_path, "/app", "10\n")
    (folder / "below").mkdir()
    assert own(tmp_path, proc, {10}) == ""


def test_the_root_a_missing_group_and_a_kernel_without_the_file_have_none(tmp_path: Path, proc: FakeProc) -> None:
    folder = make_group(tmp_path, "/app", "10\n")
    (folder / "cgroup.freeze").unlink()
    assert own(tmp_path, proc, {10}) == ""
    proc.add(10, cgroup="/")
    assert own(tmp_path, proc, {10}) == ""
    proc.add(10, cgroup="/nowhere")
    assert own(tmp_path, proc, {10}) == ""
    assert own_group(str(proc.root), "", 10, {10}) == ""
    assert own_group(str(proc.root), str(tmp_path / "cgroup"), 99, {99}) == ""


@pytest.mark.parametrize("path", ["", "/", "app", "/../etc", "/a/../../b", "/a/.."])
def test_the_root_and_what_leads_out_is_no_path(path: str) -> None:
    assert not is_path(path)


def test_freezing_writes_and_reads_the_file(tmp_path: Path) -> None:
    folder = make_group(tmp_path, "/a b", "10\n")
    mount = str(tmp_path / "cgroup")
    assert (freeze(mount, "/a b", True), is_frozen(mount, "/a b")) == ("", True)
    assert (freeze(mount, "/a b", False), is_frozen(mount, "/a b")) == ("", False)
    (folder / "cgroup.freeze").unlink()
    assert is_frozen(mount, "/a b") is None
    assert "No such file" in freeze(mount, "/a b", True)
    assert freeze(mount, "/a b", False) == ""
    (folder / "cgroup.freeze").mkdir()
    assert "Is a directory" in freeze(mount, "/a b", False)
