"""Sampling: an estimate of the store's ratio from a few resident pages."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from lmkd.helper.sample import PRESENT, Dice, largest_anonymous, ratio_of, sample_ratio

PAGE = 4096
MAPS = b"""00010000-00020000 r-xp 00000000 08:01 12 /bin/app
00400000-00402000 rw-p 00000000 00:00 0 [heap]
b0000000-b0010000 rw-p 00000000 00:00 0
b1000000-b2000000 rw-s 00000000 00:05 99 /memfd:x
"""


def test_the_largest_private_mapping_without_a_file_is_chosen() -> None:
    assert largest_anonymous(MAPS) == (0xB0000000, 0x10000)
    assert largest_anonymous(b"") is None
    assert largest_anonymous(b"garbage\n00-zz\n") is None


def test_random_pages_do_not_compress_and_repeated_words_do() -> None:
    assert ratio_of([os.urandom(PAGE)]) == 1.0
    third = os.urandom(PAGE // 3 // 4 * 4)
    ratio = ratio_of([third + bytes(PAGE - len(third))])
    assert ratio is not None
    assert 2.8 < ratio < 3.1
    assert ratio_of([bytes(PAGE)]) == 4.0


def test_without_pages_nothing_is_known() -> None:
    assert ratio_of([]) is None
    assert ratio_of([b""]) is None


def test_the_dice_reach_every_page_and_stay_below() -> None:
    dice = Dice(7)
    assert {dice.below(8) for _ in range(200)} == set(range(8))


def process(tmp_path: Path, present: set[int], content: dict[int, bytes]) -> str:
    """A fake /proc with process 5, whose one mapping starts at page 0 so that the files stay small."""
    folder = tmp_path / "5"
    folder.mkdir()
    (folder / "maps").write_bytes(b"00000000-00010000 rw-p 00000000 00:00 0\n")
    entries = [PRESENT if page in present else 0 for page in range(16)]
    (folder / "pagemap").write_bytes(struct.pack("=16Q", *entries))
    (folder / "mem").write_bytes(b"".join(content.get(page, bytes(PAGE)) for page in range(16)))
    return str(tmp_path)


def test_only_resident_pages_are_read(tmp_path: Path) -> None:
    proc = process(tmp_path, {3}, {3: os.urandom(PAGE)})
    assert sample_ratio(proc, 5, PAGE) == 1.0


def test_a_process_without_resident_pages_a_gone_one_and_a_closed_one_tell_nothing(tmp_path: Path) -> None:
    proc = process(tmp_path, set(), {})
    assert sample_ratio(proc, 5, PAGE) is None
    assert sample_ratio(proc, 6, PAGE) is None
    (tmp_path / "5" / "mem").unlink()
    assert sample_ratio(proc, 5, PAGE) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="/proc/PID/mem of another process takes root")
def test_a_real_process_is_sampled() -> None:
    ballast = os.urandom(4 << 20)
    ratio = sample_ratio("/proc", os.getpid(), os.sysconf("SC_PAGE_SIZE"))
    assert len(ballast) == 4 << 20
    assert ratio is None or 1.0 <= ratio <= 4.0
