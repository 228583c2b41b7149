"""Who holds memory that no death returns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.helper.holders import find_holders, mount_of, parse_mounts
from tests.unit.plans import FakeProc


def test_mounts_are_read_with_their_octal_escapes() -> None:
    text = (
        "tmpfs /run tmpfs rw,nosuid 0 0\n"
        "/dev/vda / ext4 ro 0 0\n"
        "tmpfs /a\\040b\\011c\\012d\\134e\\043f tmpfs rw 0 0\n"
        "tmpfs /back\\134040slash tmpfs rw 0 0\n"
        "odd\n\n"
    )
    assert parse_mounts(text) == (
        ("/run", "tmpfs"),
        ("/", "ext4"),
        ("/a b\tc\nd\\e#f", "tmpfs"),
        ("/back\\040slash", "tmpfs"),
    )


@given(st.text())
def test_no_text_makes_parsing_fail(text: str) -> None:
    parse_mounts(text)


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/run/x", "/run"),
        ("/run", "/run"),
        ("/running", "/"),
        ("/run/user/0/x (deleted)", "/run/user/0"),
        ("socket:[7]", ""),
        ("anon_inode:[eventpoll]", ""),
    ],
)
def test_a_path_lies_on_the_nearest_mount(path: str, point: str) -> None:
    assert mount_of(path, ("/", "/run", "/run/user/0")) == point


def held(tmp_path: Path, *mounts: str) -> FakeProc:
    proc = FakeProc(tmp_path)
    (proc.root / "self").mkdir()
    lines = "".join(f"tmpfs {path} tmpfs rw 0 0\n" for path in mounts)
    (proc.root / "self" / "mounts").write_text("/dev/vda / ext4 rw 0 0\n" + lines)
    return proc


def test_holders_are_those_with_files_on_the_fullest_tmpfs_or_in_memory(tmp_path: Path) -> None:
    proc = held(tmp_path, "/dev/shm", "/nonexistent")
    for pid, target in (
        (10, "/dev/shm/big (deleted)"),
        (11, "/memfd:buffer (deleted)"),
        (12, "/dev/null"),
        (13, "socket:[1]"),
    ):
        proc.add(pid, comm=b"app%d" % pid)
        proc.open_file(pid, target)
    holders = find_holders(str(proc.root), [10, 11, 12, 13, 14])
    assert holders.names == ("app10[10]", "app11[11]")
    assert holders.mount is not None and holders.mount.path == "/dev/shm" and holders.mount.used_kib >= 0
    assert holders.writer == 0


def test_the_writer_is_the_holder_whose_writes_moved_most(tmp_path: Path) -> None:
    proc = held(tmp_path, "/dev/shm")
    for pid in (10, 11):
        proc.add(pid)
        proc.open_file(pid, "/dev/shm/file")
        (proc.root / str(pid) / "io").write_bytes(b"rchar: 1\nwchar: 5\n")
    # Real numbers that move: the io file of this process, which writes while it is watched.
    (proc.root / "11" / "io").unlink()
    (proc.root / "11" / "io").symlink_to("/proc/self/io")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    os.write(writer, b"x")
    holders = find_holders(str(proc.root), [10, 11])
    os.close(reader)
    os.close(writer)
    assert holders.writer in (0, 11)


def test_without_a_tmpfs_or_mounts_there_is_no_answer_and_no_error(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    assert find_holders(str(proc.root), [10]) == find_holders(str(held(tmp_path / "b").root), [])


def test_a_mount_whose_name_is_no_text_does_no_harm(tmp_path: Path) -> None:
    proc = held(tmp_path)
    (proc.root / "self" / "mounts").write_bytes(b"tmpfs /caf\xe9 tmpfs rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n")
    mount = find_holders(str(proc.root), []).mount
    assert mount is not None and mount.path == "/dev/shm"
