"""Files that stay open: reading never raises, and a missing one is None."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lmkd.kernel.pinned import PinnedFile, read_once, read_whole


def test_a_pinned_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_bytes(b"one")
    pinned = PinnedFile(str(path))
    assert (pinned.present, pinned.read()) == (True, b"one")
    path.write_bytes(b"second")
    assert pinned.read() == b"second"
    pinned.close()
    assert (pinned.present, pinned.read()) == (False, None)
    pinned.close()


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    pinned = PinnedFile(str(tmp_path / "absent"))
    assert (pinned.present, pinned.read()) == (False, None)
    assert read_once(str(tmp_path / "absent")) is None
    assert read_whole(str(tmp_path / "absent"), 10) is None


def test_a_file_that_fails_is_none_and_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "mm_stat"
    path.write_bytes(b"one")
    pinned = PinnedFile(str(path))
    folder = os.open(tmp_path, os.O_RDONLY)
    os.dup2(folder, pinned._descriptor)  # a descriptor that cannot be read from, as after a device is gone
    os.close(folder)
    assert pinned.read() is None
    assert pinned.read() == b"one"
    pinned.close()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert read_once(str(tmp_path)) is None
    assert read_whole(str(tmp_path), 10) is None


@pytest.mark.parametrize(("limit", "length"), [(10, 10), (10**6, 300000), (300000, 300000)])
def test_a_list_is_read_whole_up_to_the_limit(tmp_path: Path, limit: int, length: int) -> None:
    path = tmp_path / "mounts"
    path.write_bytes(b"x" * 300000)
    assert read_whole(str(path), limit) == b"x" * length


def test_a_list_that_comes_in_pieces_is_read_whole() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a" * 5000)
    os.close(writer)
    assert read_whole(f"/proc/self/fd/{reader}", 1 << 20) == b"a" * 5000
    os.close(reader)


def test_reading_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        read_once(str(path))
        read_whole(str(path), 10)
        read_once(str(tmp_path))
    assert os.listdir("/proc/self/fd") == before
