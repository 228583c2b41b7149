"""Reading and writing kernel files: every failure names the path and the errno."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import (
    errno_of,
    parse_int,
    read_int,
    read_text,
    read_text_or_none,
    remove_unfinished,
    roots_under,
    system_roots,
    write_atomic,
    write_text,
)


def test_a_missing_file_is_an_error_that_names_path_and_errno_or_none_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "absent"
    with pytest.raises(
        KernelInterfaceError, match=r"absent: cannot read: No such file or directory \(ENOENT\)"
    ) as caught:
        read_text(path)
    assert errno_of(caught.value) == errno.ENOENT
    assert read_text_or_none(path) is None
    assert read_text_or_none(tmp_path / "absent" / "below") is None


def test_a_file_that_cannot_be_read_is_never_taken_for_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(KernelInterfaceError, match="EISDIR"):
        read_text_or_none(tmp_path)


def test_bytes_that_are_not_utf_8_survive(tmp_path: Path) -> None:
    path = tmp_path / "comm"
    path.write_bytes(b"a\xff\xfe b\n")
    assert os.fsencode(read_text(path)) == b"a\xff\xfe b\n"


@pytest.mark.parametrize("text", ["", "x", "1 2", "1.5", "0x10", "\u0663", "--1", "1_000", "9" * 30])
def test_what_is_not_a_number_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "disksize"
    path.write_text(text)
    with pytest.raises(KernelInterfaceError, match="disksize: a number was expected"):
        read_int(path)


@given(st.integers(min_value=-(2**63), max_value=2**64 - 1))
def test_every_number_of_the_kernel_is_read(number: int) -> None:
    assert parse_int(f" {number}\n", "here") == number


@given(st.text())
def test_no_text_makes_parsing_a_number_fail_otherwise(text: str) -> None:
    try:
        parse_int(text, "here")
    except KernelInterfaceError as error:
        assert str(error).startswith("here: ")


def test_writing_never_makes_a_file_that_the_kernel_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(KernelInterfaceError, match=r"mem_limit: cannot write '4096': .*ENOENT"):
        write_text(tmp_path / "mem_limit", "4096")
    assert list(tmp_path.iterdir()) == []


def test_a_note_is_replaced_whole_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lmkd" / "store.json"
    write_atomic(path, "one, long")
    write_atomic(path, "two")
    assert path.read_text() == "two"
    assert [item.name for item in path.parent.iterdir()] == ["store.json"]


def test_a_note_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the place of a folder")
    with pytest.raises(KernelInterfaceError, match=r"store.json: cannot write"):
        write_atomic(tmp_path / "run" / "store.json", "x")


def test_the_trees_of_the_running_system_are_where_they_belong() -> None:
    roots = system_roots()
    assert (str(roots.proc), str(roots.run), str(roots.etc)) == ("/proc", "/run/lmkd", "/etc/lmkd")
    assert str(roots_under("image").sys) == os.path.join("image", "sys")


def test_what_a_dead_process_had_begun_to_write_is_removed_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    (tmp_path / "proc" / "12").mkdir(parents=True)
    run = tmp_path / "run"
    run.mkdir()
    names = {"store.json", "store.json.11.new", "store.json.12.new", "odd.new", "x.new.11"}
    for name in names:
        (run / name).write_text("")
    remove_unfinished(run, tmp_path / "proc")
    assert set(os.listdir(run)) == names - {"store.json.11.new"}
