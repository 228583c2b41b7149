"""mm_stat for the guard, and memory locking's one call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.kernel.memlock import lock_memory
from lmkd.kernel.syscalls import Libc
from lmkd.kernel.zram_stat import parse_mm_stat
from lmkd.model import StoreSample
from lmkd.values import replace

LINE = b"12288000  4096000  5120000 72530944  6144000      123        0        4        7\n"


@pytest.mark.parametrize("data", [LINE, LINE.rsplit(b" ", 1)[0] + b"\n", b"12288000 4096000 5120000 72530944\n"])
def test_the_first_four_columns_count_on_every_kernel(data: bytes) -> None:
    found = parse_mm_stat(data)
    assert found is not None
    assert replace(found, huge_kib=None) == StoreSample(12000, 4000, 5000, 70831)


def test_what_does_not_compress_is_counted_in_pages_of_this_machine() -> None:
    assert [parse_mm_stat(LINE, kib).huge_kib for kib in (4, 64)] == [16, 256]  # type: ignore[union-attr]
    assert parse_mm_stat(b"1 2 3 4 5 6 7\n") == StoreSample(0, 0, 0, 0)
    assert parse_mm_stat(LINE[:-4]).huge_kib is None, "a cut column is none"  # type: ignore[union-attr]


@pytest.mark.parametrize("data", [b"", b"\n", b"1 2 3\n", b"1 2 x 4\n", b"-1 2 3 4\n", b"1 2 3 4"])
def test_a_truncated_or_odd_line_is_none_and_never_zero(data: bytes) -> None:
    assert parse_mm_stat(data) is None


@given(st.binary())
def test_no_bytes_make_parsing_fail(data: bytes) -> None:
    parse_mm_stat(data)


class RecordingLibc(Libc):
    """Keeps the calls; nothing is locked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def call(self, function: str, *arguments: Any) -> int:
        self.calls.append((function, *arguments))
        return 0


def test_memory_is_locked_when_it_is_touched() -> None:
    libc = RecordingLibc()
    lock_memory(libc)
    assert libc.calls == [("mlockall", 1 | 2 | 4)]
