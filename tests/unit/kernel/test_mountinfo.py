"""mountinfo and System V memory as the kernel prints them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.kernel.mountinfo import MountPoint, parse_mountinfo, read_mountinfo
from lmkd.kernel.sysv_shm import Segment, parse_sysv_shm, read_sysv_shm

TEXT = (
    "36 35 98:0 /mnt1 / rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
    "40 36 0:31 / /a\\040b\\011c\\012d\\134e\\043f rw - tmpfs tmpfs rw\n"
    "41 36 0:32 / /back\\134040slash rw shared:2 master:3 unbindable - fuse.sshfs x rw\n"
    "odd\n\n42 36 0:x / /y rw - tmpfs z rw\n43 36 0:33 / /y rw\n"
)
SHM = (
    b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid"
    b"      atime      dtime      ctime                   rss                  swap\n"
    b"         0      32768  1600             293601280   200   200      2     0     0     0     0"
    b"          1          0          1             104857600              52428800\n"
    b"       777          3   600                  4096   200   200      0     0     0     0     0"
    b"          0          0          1                  4096                     0\n"
    b"         0          4 bad\n"
)


def test_mounts_are_read_with_their_octal_escapes() -> None:
    assert parse_mountinfo(TEXT) == (
        MountPoint(36, os.makedev(98, 0), "/", "ext3"),
        MountPoint(40, os.makedev(0, 31), "/a b\tc\nd\\e#f", "tmpfs"),
        MountPoint(41, os.makedev(0, 32), "/back\\040slash", "fuse.sshfs"),
    )


@pytest.mark.parametrize(
    ("kind", "hangs"), [("tmpfs", False), ("ext4", False), ("fuse.sshfs", True), ("nfs4", True), ("autofs", True)]
)
def test_what_asks_somebody_else_may_hang(kind: str, hangs: bool) -> None:
    assert MountPoint(1, 1, "/", kind).may_hang is hangs


@given(st.text())
def test_no_text_makes_parsing_fail(text: str) -> None:
    parse_mountinfo(text)
    parse_mountinfo(f"1 2 {text}:1 / /x rw - tmpfs")


def test_the_real_one_has_a_root_and_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    assert any(mount.path == "/" for mount in read_mountinfo("/proc"))
    assert read_mountinfo(str(tmp_path)) == ()


def test_a_segment_has_its_size_its_mappings_and_its_mark() -> None:
    assert parse_sysv_shm(SHM) == (Segment(32768, 102400, 51200, 2, True), Segment(3, 4, 0, 0, False))


@given(st.binary())
def test_no_bytes_make_parsing_fail(data: bytes) -> None:
    parse_sysv_shm(data)


def test_without_system_v_there_are_no_segments(tmp_path: Path) -> None:
    assert read_sysv_shm(str(tmp_path)) == ()
