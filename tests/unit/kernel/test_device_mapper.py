"""device-mapper's messages as the kernel reads them, and its devices as sysfs shows them."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import device_mapper
from lmkd.kernel.device_mapper import Mapper, Target, find_minor, message, parse_answer, request
from lmkd.kernel.files import roots_under

DM_DEV_CREATE = 0xC138FD03
DM_TABLE_LOAD = 0xC138FD09
TABLE = (Target(0, 8, "linear", "252:1 0"), Target(8, 992, "error"))


def test_the_requests_are_those_of_the_header_file() -> None:
    assert (request(3), request(9)) == (DM_DEV_CREATE, DM_TABLE_LOAD)


def test_a_table_is_laid_out_as_the_kernel_walks_it() -> None:
    data = bytes(message("lmkd-swap", targets=TABLE))
    version, size, start, count = data[:12], *struct.unpack_from("=III", data, 12)
    assert (version, size, start, count) == (struct.pack("=III", 4, 0, 0), len(data), 312, 2)
    assert data[48:58] == b"lmkd-swap\0"
    assert struct.unpack_from("=QQiI", data, start) == (0, 8, 0, 48)
    assert data[start + 24 : start + 48] == b"linear".ljust(16, b"\0") + b"252:1 0\0"
    second = start + 48
    assert struct.unpack_from("=QQiI", data, second) == (8, 992, 0, len(data) - second)
    assert data[second + 24 :].startswith(b"error\0")
    assert len(data) % 8 == 0


@pytest.mark.parametrize(("name", "uuid"), [("", ""), ("a" * 128, ""), ("a", "u" * 129), ("\u00e9", "")])
def test_a_name_that_the_kernel_cannot_take_is_refused_before_it_is_asked(name: str, uuid: str) -> None:
    with pytest.raises(ValueError):
        message(name, uuid)


@pytest.mark.parametrize(
    ("flags", "running"), [(0, False), (1 << 5, True), (1 << 5 | 1 << 1, False), (1 << 6 | 1 << 1, False)]
)
def test_a_device_runs_with_a_table_and_unless_suspended(flags: int, running: bool) -> None:
    answer = message("lmkd-swap", "", flags)
    struct.pack_into("=Q", answer, 40, os.makedev(253, 300))
    assert parse_answer(bytes(answer)) == device_mapper.Device(300, running)


@given(st.binary(max_size=400))
def test_an_answer_of_any_bytes_is_a_device_or_a_clear_error(answer: bytes) -> None:
    try:
        assert parse_answer(answer).minor >= 0
    except KernelInterfaceError as error:
        assert len(answer) < 312 and "struct dm_ioctl" in str(error)


def test_a_device_is_found_by_name_and_uuid_together(tmp_path: Path) -> None:
    for number, name, uuid in ((0, "root", "LVM-1"), (3, "lmkd-swap", "other"), (7, "lmkd-swap", "LMKD-swap")):
        folder = tmp_path / "sys" / "block" / f"dm-{number}" / "dm"
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (folder / "uuid").write_text(uuid + "\n")
    (tmp_path / "sys" / "block" / "dm-x").mkdir()
    assert find_minor(roots_under(tmp_path), "lmkd-swap", "LMKD-swap") == 7
    assert find_minor(roots_under(tmp_path), "lmkd-swap", "") is None
    assert find_minor(roots_under(tmp_path / "nowhere"), "lmkd-swap", "LMKD-swap") is None


def test_without_device_mapper_the_error_names_the_node_and_the_errno(tmp_path: Path) -> None:
    with pytest.raises(KernelInterfaceError, match=r"mapper/control: cannot create lmkd-swap: .*ENOENT"):
        Mapper(roots_under(tmp_path)).create("lmkd-swap", "LMKD-swap")


def test_what_is_no_device_mapper_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dev" / "mapper").mkdir(parents=True)
    (tmp_path / "dev" / "mapper" / "control").write_text("")
    with pytest.raises(KernelInterfaceError, match="ENOTTY"):
        Mapper(roots_under(tmp_path)).remove("lmkd-swap")
