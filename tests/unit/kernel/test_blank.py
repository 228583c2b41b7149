"""A block device is written over only when it is blank, lmkd's own, or when that was asked for; never one in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lmkd.kernel.blank import KNOWN, LOOK_BYTES, MARK, MD_AT, MD_MAGIC, BlockCalls, is_blank, refusal, write_mark

SIZE = 3 * LOOK_BYTES


class Plain(BlockCalls):
    """Takes any file for a block device."""

    def is_block(self, path: object) -> bool:
        os.stat(path)  # type: ignore[arg-type]
        return True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "disk"
    made.write_bytes(bytes(SIZE))
    return made


def put(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_a_blank_one_may_be_used_and_is_known_again_whatever_is_written_behind_the_first_page(path: Path) -> None:
    assert refusal(path, False, Plain()) == ""
    write_mark(path)
    put(path, 8192, b"pages of somebody's application")
    put(path, SIZE - 100, b"and more of them")
    assert refusal(path, False, Plain()) == ""


def test_flash_that_was_erased_is_blank(path: Path) -> None:
    path.write_bytes(b"\xff" * SIZE)
    assert refusal(path, False, Plain()) == ""


@pytest.mark.parametrize(("at", "magic", "what"), KNOWN, ids=[what for _, _, what in KNOWN])
def test_what_it_holds_is_named_and_kept(path: Path, at: int, magic: bytes, what: str) -> None:
    put(path, at, magic)
    before = path.read_bytes()
    said = refusal(path, False, Plain())
    assert what in said and "backing_dev_force" in said
    assert path.read_bytes() == before
    assert refusal(path, True, Plain()) == ""


@pytest.mark.parametrize("at", [0, 100, LOOK_BYTES - 1, SIZE - 1])
def test_what_is_not_known_is_kept_too(path: Path, at: int) -> None:
    put(path, at, b"?")
    assert "does not know" in refusal(path, False, Plain())


@pytest.mark.parametrize(("at", "magic"), [(at, magic) for at, magic, _ in KNOWN if at < 4096])
def test_a_file_system_made_on_one_that_was_lmkds_is_somebodys_again(path: Path, at: int, magic: bytes) -> None:
    write_mark(path)
    put(path, at, magic)
    assert refusal(path, False, Plain())


def test_a_raid_that_leaves_the_mark_alone_is_kept(path: Path) -> None:
    write_mark(path)
    put(path, MD_AT, MD_MAGIC)
    assert "RAID" in refusal(path, False, Plain())


def test_what_is_no_block_device_or_not_there_or_tiny_is_refused_also_by_force(tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.write_bytes(MARK)
    assert "not a block device" in refusal(plain, True)
    assert "No such file" in refusal(tmp_path / "none", True)
    assert "smaller" in refusal(plain, True, Plain())


@pytest.mark.parametrize(
    ("data", "blank"), [(b"", True), (b"\0\0", True), (b"\xff\xff", True), (b"\0\xff", False), (b"aa", False)]
)
def test_blank_is_all_zero_or_all_one(data: bytes, blank: bool) -> None:
    assert is_blank(data) is blank
