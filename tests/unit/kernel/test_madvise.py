"""process_madvise on a child of the test, and which mappings of a process are worth advice."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.kernel.madvise import COLD, PAGEOUT, Adviser, anonymous_ranges
from lmkd.kernel.syscalls import Libc
from tests.unit.guard.children import child

MIB = 1 << 20
MAPS = b"""\
00010000-00020000 r-xp 00000000 08:01 12         /bin/app
00020000-00030000 rw-p 00010000 08:01 12         /bin/app
00400000-00800000 rw-p 00000000 00:00 0          [heap]
b0000000-b0800000 rw-p 00000000 00:00 0
b0800000-b0810000 ---p 00000000 00:00 0
b1000000-b2000000 rw-s 00000000 00:05 99         /memfd:x (deleted)
b3000000-b3001000 rw-p 00000000 00:00 0
b4000000-b4100000 rw-p 00000000 00:00 0          [anon:a name with spaces]
b5000000-b5100000 r--p 00000000 00:00 0          [vvar]
bec00000-bf000000 rw-p 00000000 00:00 0          [stack]
"""
HEAP, LARGE, NAMED = (0x400000, 4 * MIB), (0xB0000000, 8 * MIB), (0xB4000000, MIB)


def test_private_writable_memory_without_a_file_counts_the_largest_first_and_the_stack_does_not() -> None:
    assert anonymous_ranges(MAPS, 65536) == [LARGE, HEAP, NAMED]


def test_what_is_smaller_than_asked_for_is_left_out() -> None:
    assert anonymous_ranges(MAPS, 4 * MIB) == [LARGE, HEAP]
    assert anonymous_ranges(MAPS, 8 * MIB + 1) == []
    assert (0xB3000000, 4096) in anonymous_ranges(MAPS, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"garbage",
        b"b0000000-b0800000 rw-p",
        b"b0000000 rw-p 00000000 00:00 0",
        b"b0000000- rw-p 00000000 00:00 0",
        b"-b0800000 rw-p 00000000 00:00 0",
        b"zz-yy rw-p 00000000 00:00 0",
        b"\xff\xfe-\x00 rw-p 00000000 00:00 0",
        b"b0800000-b0000000 rw-p 00000000 00:00 0",
        b"b0000000-b0800000 rw-p 00000000 00:00 07",
        b"b0000000-b0800000 rw-p 00000000 08:01 12 /tmp/b0000000-b0800000 rw-p 00000000 00:00 0",
        b"b0000000-b0800000 rw-p 00000000 08:01 12 /tmp/a\\012b0000000-b0800000 rw-p 0 00:00 0",
    ],
)
def test_an_odd_line_is_passed_over_and_those_around_it_are_not(line: bytes) -> None:
    assert anonymous_ranges(MAPS + line + b"\n" + MAPS, 65536) == [LARGE, LARGE, HEAP, HEAP, NAMED, NAMED]


@given(st.integers(0, len(MAPS)))
def test_a_list_that_is_cut_off_tells_nothing_that_is_not_there(length: int) -> None:
    assert set(anonymous_ranges(MAPS[:length], 65536)) <= {LARGE, HEAP, NAMED}


WORDS = (b"rw-p", b"0", b"10-ff", b"1-", b"-1", b"0x1-0x9", b"[stack]")
WORD = st.one_of(st.binary(max_size=8), st.sampled_from(WORDS))


@given(st.lists(st.lists(WORD, max_size=7).map(b" ".join), max_size=6).map(b"\n".join))
def test_no_bytes_make_it_fail_and_each_range_is_large_enough(maps: bytes) -> None:
    assert all(size >= 1 for _start, size in anonymous_ranges(maps, 1))


# --- the call itself


@pytest.fixture(scope="module")
def adviser() -> Adviser:
    return Adviser(Libc())


@contextlib.contextmanager
def skipped_where_not_allowed() -> Iterator[None]:
    """Linux 5.10 and CAP_SYS_NICE are needed for another process's memory."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            pytest.skip(f"process_madvise: {error.strerror}")
        raise


HOLDS = "held = bytearray(b'x' * (8 << 20)); print('ready', flush=True); import time; time.sleep(60)"


@pytest.fixture
def holder() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A child that holds 8 MiB, and its pidfd."""
    with child(HOLDS) as process:
        descriptor = os.pidfd_open(process.pid)
        try:
            yield process, descriptor
        finally:
            os.close(descriptor)


def largest(pid: int) -> tuple[int, int]:
    return anonymous_ranges(Path(f"/proc/{pid}/maps").read_bytes(), MIB)[0]


@pytest.mark.parametrize("advice", [COLD, PAGEOUT])
def test_the_memory_of_a_child_is_advised_about_and_stays_its_own(
    adviser: Adviser, holder: tuple[subprocess.Popen[bytes], int], advice: int
) -> None:
    process, descriptor = holder
    start, size = largest(process.pid)
    assert size >= 8 * MIB
    with skipped_where_not_allowed():
        assert adviser.advise(descriptor, start, size, advice) == size
    assert process.poll() is None


def test_where_nothing_is_mapped_it_is_an_error(
    adviser: Adviser, holder: tuple[subprocess.Popen[bytes], int]
) -> None:
    with pytest.raises(OSError) as caught:
        adviser.advise(holder[1], 1 << 16, 4096, COLD)
    if caught.value.errno in (errno.EPERM, errno.ENOSYS):
        pytest.skip(f"process_madvise: {caught.value.strerror}")
    assert caught.value.errno == errno.ENOMEM


def test_a_process_that_is_gone_is_an_error_with_that_name(
    adviser: Adviser, holder: tuple[subprocess.Popen[bytes], int]
) -> None:
    process, descriptor = holder
    start, size = largest(process.pid)
    process.kill()
    process.wait(10)
    with pytest.raises(OSError) as caught:
        adviser.advise(descriptor, start, size, COLD)
    if caught.value.errno == errno.ENOSYS:
        pytest.skip(f"process_madvise: {caught.value.strerror}")
    assert caught.value.errno == errno.ESRCH
