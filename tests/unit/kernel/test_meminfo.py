"""/proc/meminfo of real boards, older kernels and broken reads."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.counters import find_number
from lmkd.kernel.meminfo import Meminfo, parse_meminfo

BOARD = b"""\
MemTotal:         236092 kB
MemFree:           91540 kB
MemAvailable:     171236 kB
Buffers:            3416 kB
Cached:            81920 kB
SwapCached:            0 kB
Active:            14112 kB
Inactive:          98688 kB
Active(anon):        356 kB
Inactive(anon):    27388 kB
Active(file):      13756 kB
Inactive(file):    71300 kB
Unevictable:        6124 kB
Mlocked:            6124 kB
HighTotal:             0 kB
HighFree:              0 kB
LowTotal:         236092 kB
LowFree:           91540 kB
SwapTotal:        118044 kB
SwapFree:         117788 kB
Dirty:               124 kB
Writeback:            16 kB
AnonPages:         33600 kB
Mapped:            22904 kB
Shmem:               276 kB
KReclaimable:       5880 kB
Slab:              16184 kB
CmaTotal:          16384 kB
CmaFree:           14336 kB
"""
"""linux-image-armmp 6.1 on the emulated 256 MB board, shortened at the end of what is read."""


def without(*keys: bytes) -> bytes:
    return b"".join(line + b"\n" for line in BOARD.splitlines() if not line.startswith(keys))


def test_free_memory_is_without_that_which_is_reserved_for_devices() -> None:
    assert parse_meminfo(BOARD) == Meminfo(
        total_kib=236092,
        free_kib=91540 - 14336,
        file_kib=13756 + 71300,
        dirty_kib=140,
        anon_kib=356 + 27388 - 276,
        shmem_kib=276,
        swap_total_kib=118044,
        swap_free_kib=117788,
    )


def test_a_kernel_without_cma_has_nothing_to_leave_out() -> None:
    assert parse_meminfo(without(b"Cma")).free_kib == 91540


def test_more_reserved_than_free_is_no_free_memory() -> None:
    assert parse_meminfo(BOARD.replace(b"91540", b"1")).free_kib == 0


@pytest.mark.parametrize(
    "missing", [(b"Active(anon):",), (b"Inactive(anon):",), (b"Active(anon):", b"Inactive(anon):")]
)
def test_without_both_lists_of_anonymous_memory_its_pages_count(missing: tuple[bytes, ...]) -> None:
    assert parse_meminfo(without(*missing)).anon_kib == 33600


@pytest.mark.parametrize(
    "key",
    [
        *("MemTotal:", "MemFree:", "Active(file):", "Inactive(file):", "Dirty:", "Writeback:", "Shmem:"),
        *("SwapTotal:", "SwapFree:", "CmaFree:"),
    ],
)
def test_a_missing_line_is_an_error_that_names_it(key: str) -> None:
    with pytest.raises(KernelInterfaceError, match=key.replace("(", r"\(").replace(")", r"\)")):
        parse_meminfo(without(key.encode()))


def test_no_truncated_text_is_taken_for_a_whole_one() -> None:
    needed = BOARD.index(b"Shmem:")
    for length in range(len(BOARD)):
        cut = BOARD[:length]
        whole_lines = cut.endswith(b"\n") and length > needed and b"CmaTotal:" not in cut
        if not whole_lines:
            with pytest.raises(KernelInterfaceError):
                parse_meminfo(cut)


@pytest.mark.parametrize("odd", [b"-1 kB", b"", b"many kB", b"0x10 kB"])
def test_an_odd_number_is_an_error_and_never_zero(odd: bytes) -> None:
    with pytest.raises(KernelInterfaceError):
        parse_meminfo(BOARD.replace(b"236092 kB\nMemFree", odd + b"\nMemFree"))


@given(st.binary(max_size=300))
def test_no_bytes_make_parsing_fail_otherwise(data: bytes) -> None:
    with contextlib.suppress(KernelInterfaceError):
        parse_meminfo(data + b"\n")


@pytest.mark.parametrize(
    ("data", "key", "number"),
    [
        (b"a 1\nab 2\n", b"a ", 1),
        (b"a 1\nab 2\n", b"ab ", 2),
        (b"xa 1\na 2\n", b"a ", 2),
        (b"a 1\n", b"b ", None),
        (b"a 12", b"a ", None),
        (b"a\n1\n", b"a", None),
        (b"", b"a ", None),
        (b"Uid:\t7\t8\n", b"Uid:", 7),
        (b"a \xb2\n", b"a ", None),
    ],
)
def test_a_number_stands_after_its_key_at_the_start_of_a_whole_line(
    data: bytes, key: bytes, number: int | None
) -> None:
    assert find_number(data, key) == number


@given(st.dictionaries(st.from_regex(rb"\A[a-z_]{1,12}\Z"), st.integers(0, 2**64), max_size=20))
def test_every_counter_is_found(counters: dict[bytes, int]) -> None:
    data = b"".join(b"%s %d\n" % item for item in counters.items())
    assert {key: find_number(data, key + b" ") for key in counters} == counters
