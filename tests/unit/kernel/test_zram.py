"""zram's attributes: tolerant of what newer and older kernels add and lack, clear about what is odd."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import zram
from lmkd.kernel.files import roots_under

MM_STAT_5_10 = " 66891776  5414912  6144000 74039296  6144000       11        3        5\n"
MM_STAT_6_1 = " 66891776  5414912  6144000 74039296  6144000       11        3        5        9\n"


@pytest.mark.parametrize(
    ("text", "offered", "selected"),
    [
        ("lzo lzo-rle [lz4] zstd \n", ("lzo", "lzo-rle", "lz4", "zstd"), "lz4"),
        ("[lzo]\n", ("lzo",), "lzo"),
        ("lzo lz4", ("lzo", "lz4"), None),
        (
            "lzo-rle lzo lz4 lz4hc [842] deflate zstd",
            ("lzo-rle", "lzo", "lz4", "lz4hc", "842", "deflate", "zstd"),
            "842",
        ),
    ],
)
def test_algorithms_are_read(text: str, offered: tuple[str, ...], selected: str | None) -> None:
    assert zram.parse_algorithms(text) == zram.Algorithms(offered, selected)


@pytest.mark.parametrize("text", ["", " \n", "[lzo] [lz4]", "[]", "lz4 /etc/passwd", "lz\0", "#1: [lzo] lz4"])
def test_an_odd_list_of_algorithms_is_an_error(text: str) -> None:
    with pytest.raises(KernelInterfaceError, match="comp_algorithm"):
        zram.parse_algorithms(text)


def test_mm_stat_has_eight_columns_on_5_10_and_nine_later() -> None:
    older, newer = zram.parse_mm_stat(MM_STAT_5_10), zram.parse_mm_stat(MM_STAT_6_1)
    assert (newer.orig_bytes, newer.compressed_bytes, newer.used_bytes) == (66891776, 5414912, 6144000)
    assert (newer.limit_bytes, newer.used_max_bytes, newer.same_pages) == (74039296, 6144000, 11)
    assert (newer.compacted_pages, newer.huge_pages, newer.huge_since_pages) == (3, 5, 9)
    assert (older.huge_pages, older.huge_since_pages) == (5, None)


def test_mm_stat_with_seven_columns_has_no_count_of_huge_pages_and_with_twelve_is_fine() -> None:
    assert zram.parse_mm_stat("1 2 3 4 5 6 7").huge_pages is None
    assert zram.parse_mm_stat("1 2 3 4 5 6 7 8 9 10 11 12").huge_since_pages == 9


@pytest.mark.parametrize("text", ["", "1 2 3", "1 2 3 4 5 6 x", "-1 2 3 4 5 6 7", "1 2 3 4 5 6 7.5"])
def test_an_odd_mm_stat_is_an_error_and_never_zero(text: str) -> None:
    with pytest.raises(KernelInterfaceError, match="mm_stat"):
        zram.parse_mm_stat(text)


@given(st.text())
def test_no_text_makes_the_parsers_fail_otherwise(text: str) -> None:
    for parse in (zram.parse_mm_stat, zram.parse_algorithms):
        with contextlib.suppress(KernelInterfaceError):
            parse(text)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("zram0", 0),
        ("/dev/zram12", 12),
        ("/dev/block/zram1", 1),
        ("zram", None),
        ("zram01", None),
        ("zram-1", None),
        ("zram0p1", None),
        ("sda1", None),
        ("zram\u0663", None),
        ("", None),
        ("xzram0", None),
        ("zram9999999", None),
    ],
)
def test_only_a_zram_devices_name_has_a_number(name: str, number: int | None) -> None:
    assert zram.device_number(name) == number


def test_devices_are_found_in_order_among_others(tmp_path: Path) -> None:
    for name in ("zram10", "zram2", "sda", "loop0", "zram-control"):
        (tmp_path / "sys" / "block" / name).mkdir(parents=True)
    assert zram.devices(roots_under(tmp_path)) == (2, 10)
    assert zram.devices(roots_under(tmp_path / "absent")) == ()


def test_reading_hot_add_gives_the_number_of_the_new_device(tmp_path: Path) -> None:
    roots = roots_under(tmp_path)
    folder = roots.sys / "class" / "zram-control"
    folder.mkdir(parents=True)
    (folder / "hot_add").write_text("4\n")
    (folder / "hot_remove").write_text("")
    assert zram.hot_add(roots) == 4
    zram.hot_remove(roots, 4)
    assert (folder / "hot_remove").read_text() == "4"
