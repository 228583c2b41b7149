"""Swap: what is in use, the header, and what a refusal of the kernel means."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import swap
from lmkd.kernel.files import errno_of, roots_under

HEADING = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
UUID = bytes(range(16))


def test_swaps_are_read_with_escaped_names_and_negative_priorities() -> None:
    text = HEADING + (
        "/dev/zram0                              partition\t144604\t\t65536\t\t100\n"
        "/a\\040file\\012with\\134all             file\t\t1024\t\t0\t\t-2\n"
        "/gone\\040(deleted)                      file\t\t1024\t\t0\t\t-3\n"
    )
    assert swap.parse_swaps(text) == (
        swap.SwapEntry("/dev/zram0", "partition", 144604, 65536, 100),
        swap.SwapEntry("/a file\nwith\\all", "file", 1024, 0, -2),
        swap.SwapEntry("/gone (deleted)", "file", 1024, 0, -3),
    )


def test_no_swap_in_use_is_an_empty_answer() -> None:
    assert swap.parse_swaps(HEADING) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/dev/zram0 partition 1 0 1\n",
        HEADING + "/dev/zram0 partition 1 0\n",
        HEADING + "/dev/zram0 partition x 0 1\n",
    ],
)
def test_an_odd_list_of_swaps_is_an_error_and_never_no_swap(text: str) -> None:
    with pytest.raises(KernelInterfaceError, match="/proc/swaps"):
        swap.parse_swaps(text)


@given(st.text())
def test_no_text_makes_reading_the_swaps_fail_otherwise(text: str) -> None:
    with contextlib.suppress(KernelInterfaceError):
        swap.parse_swaps(HEADING + text)


def test_a_kernel_without_swap_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(KernelInterfaceError, match=r"swaps: cannot read.*ENOENT"):
        swap.swaps(roots_under(tmp_path))


@pytest.mark.parametrize("page_bytes", [4096, 16384, 65536])
def test_a_header_reads_back_with_every_page_size(page_bytes: int) -> None:
    page = swap.swap_header(page_bytes, 131072, UUID, "lmkd")
    assert len(page) == page_bytes
    assert swap.parse_swap_header(page) == swap.SwapHeader(1, 131072 * 1024 // page_bytes - 1, UUID, "lmkd")


@given(st.binary(max_size=5000))
def test_no_bytes_make_reading_a_header_fail(page: bytes) -> None:
    swap.parse_swap_header(page)


@pytest.mark.parametrize("page", [b"", b"SWAPSPACE2", b"\0" * 4096, b"\0" * 4086 + b"SWAP-SPACE"])
def test_what_is_not_a_swap_area_has_no_header(page: bytes) -> None:
    assert swap.parse_swap_header(page) is None


@pytest.mark.parametrize(
    ("size_kib", "uuid", "label"),
    [(36, UUID, "lmkd"), (2**42, UUID, "lmkd"), (4096, b"short", "lmkd"), (4096, UUID, "seventeen letters")],
)
def test_a_header_that_cannot_be_is_refused(size_kib: int, uuid: bytes, label: str) -> None:
    with pytest.raises(ValueError, match="has"):
        swap.swap_header(4096, size_kib, uuid, label)


@pytest.mark.skipif(shutil.which("mkswap") is None, reason="mkswap is not installed")
def test_the_header_is_the_one_that_mkswap_writes(tmp_path: Path) -> None:
    path = tmp_path / "area"
    path.write_bytes(b"\0" * 1024 * 1024)
    path.chmod(0o600)
    uuid = "00010203-0405-0607-0809-0a0b0c0d0e0f"
    subprocess.run(["mkswap", "-L", "lmkd", "-U", uuid, str(path)], check=True, capture_output=True)
    size_bytes = swap.page_bytes()
    assert path.read_bytes()[1024:size_bytes] == swap.swap_header(size_bytes, 1024, UUID, "lmkd")[1024:]


def test_a_header_is_written_and_read_on_a_device(tmp_path: Path) -> None:
    path = tmp_path / "zram0"
    path.write_bytes(b"")
    header = swap.swap_header(swap.page_bytes(), 4096, UUID, "lmkd")
    swap.write_swap_header(path, header)
    read = swap.read_swap_header(path)
    assert read is not None
    assert read.label == "lmkd"


def test_a_device_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(KernelInterfaceError, match=r"zram0: cannot read: .*ENOENT"):
        swap.read_swap_header(tmp_path / "zram0")
    with pytest.raises(KernelInterfaceError, match=r"zram0: cannot write a swap header: .*ENOENT"):
        swap.write_swap_header(tmp_path / "zram0", b"")


def test_a_refusal_of_the_kernel_names_the_call_the_device_and_the_errno(tmp_path: Path) -> None:
    path = str(tmp_path / "absent")
    calls = swap.KernelSwapCalls()
    with pytest.raises(KernelInterfaceError, match=r"swapon .*absent: .*\(E") as on:
        calls.swapon(path, 5)
    with pytest.raises(KernelInterfaceError, match=r"swapoff .*absent: .*\(E") as off:
        calls.swapoff(path)
    for caught in (on, off):
        assert errno_of(caught.value) in (errno.ENOENT, errno.EPERM)


def test_a_priority_out_of_range_never_reaches_the_kernel() -> None:
    with pytest.raises(ValueError, match=r"0\.\.32767"):
        swap.KernelSwapCalls().swapon("/nowhere", 32768)


def test_the_page_size_is_the_kernels() -> None:
    assert swap.page_bytes() == os.sysconf("SC_PAGE_SIZE")
