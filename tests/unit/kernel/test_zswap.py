"""zswap's parameters, counters and fill; and loop devices found by their file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import loop, zswap
from lmkd.kernel.files import Roots, roots_under
from lmkd.kernel.zswap_stat import ZswapStat, parse_percent, zswap_sample
from lmkd.model import StoreSample

MEMINFO = b"MemTotal:         200000 kB\nZswap:             10000 kB\nZswapped:          30000 kB\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return roots_under(tmp_path)


def test_the_fill_is_what_meminfo_says_and_the_limit_lies_below_the_kernels() -> None:
    assert zswap_sample(MEMINFO, 40) == StoreSample(30000, 10000, 10000, 80000 * 85 // 100, full_kib=80000)


def test_without_a_limit_there_is_none() -> None:
    assert zswap_sample(MEMINFO, None) == StoreSample(30000, 10000, 10000, 0)


@pytest.mark.parametrize("key", [b"MemTotal:", b"Zswap:", b"Zswapped:"])
def test_a_missing_line_is_none_and_never_zero(key: bytes) -> None:
    assert zswap_sample(MEMINFO.replace(key, b"Other:"), 40) is None


@given(st.binary())
def test_no_bytes_make_a_percent_fail(text: bytes) -> None:
    percent = parse_percent(text)
    assert percent is None or percent >= 0


def test_a_limit_that_is_changed_counts_at_once(tmp_path: Path) -> None:
    limit = put(tmp_path / "max_pool_percent", "20\n")
    put(tmp_path / "meminfo", MEMINFO.decode())
    files = ZswapStat(str(tmp_path), str(limit))
    assert [files.sample(MEMINFO), files.sample()] == [StoreSample(30000, 10000, 10000, 34000, full_kib=40000)] * 2
    limit.write_text("10\n")
    changed = files.sample(MEMINFO)
    assert changed is not None and changed.full_kib == 20000


def test_parameters_that_a_kernel_lacks_are_none(roots: Roots) -> None:
    put(roots.sys / "module" / "zswap" / "parameters" / "enabled", "Y\n")
    assert (zswap.exists(roots), zswap.read(roots, zswap.ENABLED), zswap.read(roots, zswap.POOL)) == (True, "Y", None)
    assert zswap.read(roots, zswap.WRITEBACK) is None


def test_no_name_points_outside(roots: Roots) -> None:
    for name in ("../../../etc/passwd", "", "enabled/../x"):
        with pytest.raises(KernelInterfaceError, match="zswap parameter"):
            zswap.read(roots, name)


def test_the_counters_add_up_what_this_kernel_has(roots: Roots) -> None:
    folder = roots.sys / "kernel" / "debug" / "zswap"
    assert zswap.counters(roots) == zswap.ZswapCounters(None, None, None, None)
    put(roots.proc / "vmstat", "nr 1\npswpin 4\npswpout 9\n")
    for name, text in (("reject_alloc_fail", "3"), ("reject_compress_poor", "4"), ("pool_limit_hit", "x")):
        put(folder / name, text + "\n")
    assert zswap.counters(roots) == zswap.ZswapCounters(7, None, None, 9)


def test_a_loop_device_is_found_by_its_file(roots: Roots) -> None:
    put(roots.sys / "block" / "loop0" / "loop" / "backing_file", "/var/other\n")
    (roots.sys / "block" / "loop1").mkdir()
    put(roots.sys / "block" / "loop2" / "loop" / "backing_file", f"{roots.run}/swap-header\n")
    assert loop.find(roots, roots.run / "swap-header") == "loop2"
    assert loop.find(roots, "/nowhere") is None


def test_without_loop_devices_attaching_and_detaching_say_so(roots: Roots, tmp_path: Path) -> None:
    with pytest.raises(KernelInterfaceError, match=r"loop-control: cannot use: .*ENOENT"):
        loop.attach(roots, put(tmp_path / "file", ""))
    with pytest.raises(KernelInterfaceError, match=r"loop0: cannot detach: .*ENOENT"):
        loop.detach(roots, "loop0")
