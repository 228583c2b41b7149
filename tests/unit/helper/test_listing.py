"""Lists below /run: replaced as a whole, none for nobody, and a failure is a text that leaves the old one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lmkd.helper.listing import make_folder, remove_list, write_list


def test_a_list_is_written_with_its_folder_for_root_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lmkd" / "list"
    assert write_list(str(path), ["10 77 0\n", "11 78 -5\n"]) == ""
    assert path.read_text() == "10 77 0\n11 78 -5\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["list"]


def test_a_new_one_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "list"
    (tmp_path / "list.new").write_text("the rest of one that a helper did not get to the end of")
    write_list(str(path), ["10 77 0\n", "11 78 0\n"])
    with path.open() as before:
        assert write_list(str(path), ["11 78 0\n"]) == ""
        assert before.read() == "10 77 0\n11 78 0\n"
    assert path.read_text() == "11 78 0\n"


def test_without_lines_there_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "list"
    write_list(str(path), ["10 77 0\n"])
    assert write_list(str(path), []) == ""
    assert os.listdir(tmp_path) == []
    assert write_list(str(path), []) == ""


def test_names_that_are_no_text_come_out_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "list"
    write_list(str(path), [os.fsdecode(b"10 77 cgroup /a\xff\xc3\xa4\n")])
    assert path.read_bytes() == b"10 77 cgroup /a\xff\xc3\xa4\n"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = write_list(str(tmp_path / "file" / "list"), ["10 77 0\n"])
    assert refused.startswith(f"{tmp_path}/file/list.new: ") and "None" not in refused
    assert write_list(str(tmp_path / "file" / "list"), []) == ""


def test_a_list_that_cannot_take_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "list").mkdir()
    assert write_list(str(tmp_path / "list"), ["10 77 0\n"]) == f"{tmp_path}/list.new: Is a directory"


def test_where_there_is_no_room_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list"
    write_list(str(path), ["10 77 0\n"])
    before = os.listdir("/proc/self/fd")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    assert write_list(str(path), ["10 77 0\n", "11 78 0\n"]) == f"{path}.new: no room"
    monkeypatch.undo()
    assert path.read_text() == "10 77 0\n"
    assert os.listdir("/proc/self/fd") == before


def test_removing_one_that_is_not_there_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("")
    remove_list(str(path))
    assert not path.exists()
    remove_list(str(path))
    remove_list(str(tmp_path / "no" / "list"))


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "lmkd" / "deep"
    make_folder(str(folder))
    make_folder(str(folder))
    assert folder.is_dir() and stat.S_IMODE(folder.stat().st_mode) & 0o700 == 0o700


@pytest.mark.parametrize("path", ["", "/proc/none/lmkd"])
def test_a_folder_that_cannot_be_made_is_an_error(path: str) -> None:
    with pytest.raises(OSError, match=r"."):
        make_folder(path)
