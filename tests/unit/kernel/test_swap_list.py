"""/proc/swaps for the helper: any line that is none is left out, and lmkd's label is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.kernel.swap import page_bytes, swap_header
from lmkd.kernel.swap_list import has_label, open_swap_list, parse_swap_list, read_swap_list

HEADING = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
ZRAM = b"/dev/zram0                              partition\t249852\t\t1024\t\t100\n"
DISK = b"/dev/mmcblk0p3                          partition\t500000\t\t0\t\t-2\n"
FILE = b"/swap\\040file                            file\t\t65532\t\t0\t\t5\n"


def test_the_lines_come_by_priority() -> None:
    found = parse_swap_list(HEADING + DISK + FILE + ZRAM)
    assert found == (
        ("zram0", 0, 249852, 100),
        ("/swap\\040file", -1, 65532, 5),
        ("mmcblk0p3", -1, 500000, -2),
    )


@pytest.mark.parametrize("line", [b"", b"zram\n", b"/dev/zram1 partition 1 2\n", b"/dev/zram1 partition a 2 3\n"])
def test_what_is_no_line_is_left_out(line: bytes) -> None:
    assert parse_swap_list(HEADING + line) == ()


@pytest.mark.parametrize("name", [b"/dev/zramx", b"/dev/zram", b"/run/zram1", b"/dev/zram1p1"])
def test_what_is_called_like_a_zram_is_none(name: bytes) -> None:
    assert parse_swap_list(HEADING + name + b" partition 9 0 1\n")[0][1] == -1


@pytest.mark.parametrize("name", [b"/dev/zram1", b"/zram1"])
def test_a_file_of_that_name_is_none(name: bytes) -> None:
    assert parse_swap_list(HEADING + name + b" file 9 0 1\n")[0][1] == -1


def test_one_that_was_switched_on_in_a_mount_namespace_that_is_gone_is_known() -> None:
    assert parse_swap_list(HEADING + b"/zram0 partition 9 0 1\n") == (("zram0", 0, 9, 1),)


@given(st.binary(max_size=300))
def test_no_text_breaks_it(data: bytes) -> None:
    parse_swap_list(HEADING + data)


@pytest.mark.parametrize(("label", "found"), [("lmkd", True), ("zram-generator", False), ("lmkd2", False), ("", False)])
def test_the_label_tells_whose_it_is(tmp_path: Path, label: str, found: bool) -> None:
    path = tmp_path / "zram0"
    path.write_bytes(swap_header(page_bytes(), 4096, bytes(16), label))
    assert has_label(str(path), "lmkd") is found


def test_what_cannot_be_read_is_nobodys(tmp_path: Path) -> None:
    assert not has_label(str(tmp_path / "none"), "lmkd")
    assert open_swap_list(str(tmp_path)) == -1
    assert read_swap_list(-1) == b""
