"""Which memory is forgotten, owned and locked: parsing over made-up maps, and what madvise is asked for."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lmkd.kernel.memlock import (
    MADV_DONTNEED,
    MADV_NORMAL,
    MADV_RANDOM,
    clean_mappings,
    forget_clean_pages,
    join_pages,
    shared_runs,
    trim_heap,
    writable_mappings,
)
from lmkd.kernel.syscalls import Libc

SMAPS = b"""\
00010000-003e1000 r-xp 00000000 fe:00 1234       /usr/bin/python3.11
Size:               3908 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
003f0000-003f1000 r--p 003d0000 fe:00 1234       /usr/bin/python3.11
Anonymous:             4 kB
003f1000-00480000 rw-p 003d1000 fe:00 1234       /usr/bin/python3.11
Anonymous:             0 kB
01000000-01100000 rw-p 00000000 00:00 0          [heap]
Anonymous:             0 kB
b6f00000-b6f01000 r-xp 00000000 00:00 0          [vdso]
Anonymous:             0 kB
b6f10000-b6f30000 r--p 00000000 fe:00 99         /usr/lib/a file with spaces.so (deleted)
Anonymous:             0 kB
"""


def test_only_whole_unchanged_file_mappings_that_may_not_be_written_are_forgotten() -> None:
    assert clean_mappings(SMAPS.splitlines()) == [(0x10000, 0x3E1000 - 0x10000), (0xB6F10000, 0x20000)]


@pytest.mark.parametrize("smaps", [b"", b"\n", b"junk", SMAPS[:60]])
def test_an_odd_map_has_nothing_to_forget(smaps: bytes) -> None:
    assert clean_mappings(smaps.splitlines()) == []
    assert writable_mappings(smaps.splitlines()) == []


class AdvisedLibc(Libc):
    """Keeps the madvise calls; refuses those with one advice."""

    def __init__(self, refused: int = -1) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refused = refused

    def call(self, function: str, *arguments: Any) -> int:
        if arguments[2] == self.refused:
            raise OSError(errno.ENOMEM, "too many mappings")
        self.calls.append(arguments)
        return 0


@pytest.fixture
def proc(tmp_path: Path) -> str:
    (tmp_path / "self").mkdir()
    text = b"00010000-00015000 r-xp 00000000 fe:00 1234       /usr/bin/python3.11\nAnonymous: 0 kB\n"
    (tmp_path / "self" / "smaps").write_bytes(text)
    return str(tmp_path)


def test_what_is_forgotten_comes_back_in_small_pieces_until_it_is_joined(proc: str) -> None:
    libc = AdvisedLibc()
    mappings = forget_clean_pages(libc, proc, 4096)
    apart = [(0x12000, 8192, MADV_RANDOM)]
    assert (mappings, libc.calls) == ([(0x10000, 0x5000)], [*apart, (0x10000, 0x5000, MADV_DONTNEED)])
    join_pages(libc, mappings)
    assert libc.calls[-1] == (0x10000, 0x5000, MADV_NORMAL)


def test_it_is_joined_up_to_pieces_when_more_may_come_later(proc: str) -> None:
    libc = AdvisedLibc()
    join_pages(libc, [(0x10000, 0x9000)], 4 * 4096)
    assert libc.calls == [(0x10000, 0x9000, MADV_NORMAL), (0x14000, 0x4000, MADV_RANDOM)]


def test_the_heap_is_trimmed_where_the_c_library_can() -> None:
    trim_heap(Libc())
    none = AdvisedLibc()
    none.call = lambda *_: getattr(none, "malloc_trim")  # type: ignore[method-assign]  # noqa: B009
    trim_heap(none)


@pytest.mark.parametrize("refused", [MADV_RANDOM, MADV_DONTNEED])
def test_a_kernel_that_refuses_leaves_the_rest_as_it_is(proc: str, refused: int) -> None:
    libc = AdvisedLibc(refused)
    mappings = forget_clean_pages(libc, proc, 4096)
    join_pages(libc, mappings)
    assert libc.calls[-1] == (0x10000, 0x5000, MADV_NORMAL)


def test_without_smaps_nothing_is_forgotten(tmp_path: Path) -> None:
    assert forget_clean_pages(AdvisedLibc(), str(tmp_path), 4096) == []


def test_pages_in_use_survive_being_forgotten() -> None:
    libc = Libc()
    mappings = forget_clean_pages(libc, "/proc", os.sysconf("SC_PAGE_SIZE"))
    assert mappings
    join_pages(libc, mappings)


def test_anonymous_memory_that_may_be_written_is_found() -> None:
    assert writable_mappings(SMAPS.splitlines()) == [(0x1000000, 0x100000)]


def test_shared_pages_of_our_own_come_in_runs() -> None:
    present, of_file, exclusive = 1 << 63, 1 << 61, 1 << 56
    pages = (present, present | 7, 0, present | exclusive, present, present | of_file, 1 << 62, present)
    entries = b"".join(page.to_bytes(8, sys.byteorder) for page in pages)
    assert shared_runs(entries, 0x10000, 4096) == [(0x10000, 8192), (0x14000, 4096), (0x17000, 4096)]
    assert shared_runs(b"", 0x10000, 4096) == []
