"""A file that is written as a whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lmkd.cli.output import write_whole


def test_a_file_is_replaced_by_a_whole_one_that_anybody_may_read(tmp_path: Path) -> None:
    path = tmp_path / "lmkd.prom"
    write_whole(str(path), "a 1\n")
    kept = path.open()
    write_whole(str(path), "b 2é\n")
    assert (kept.read(), path.read_text("utf-8")) == ("a 1\n", "b 2é\n")
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["lmkd.prom"]
    kept.close()


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x").touch()
    with pytest.raises(OSError):
        write_whole(str(folder), "text")
    with pytest.raises(FileNotFoundError):
        write_whole(str(tmp_path / "none" / "lmkd.prom"), "text")
    path = tmp_path / "lmkd.prom"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(str(path), "\ud800")
    assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["folder", "lmkd.prom"]
