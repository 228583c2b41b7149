"""A process as /proc shows it, hostile names included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.kernel.process import (
    Sizes,
    Stat,
    list_pids,
    parse_cgroup,
    parse_stat,
    parse_status,
    read_cgroup,
    read_cmdline,
    read_exe,
    read_oom_score_adj,
    read_sizes,
    read_stat,
)
from tests.unit.plans import FakeProc, stat_text

KTHREAD = (
    b"Name:\tkworker/0:1-events\nUmask:\t0000\nState:\tI (idle)\nTgid:\t9\nNgid:\t0\nPid:\t9\nPPid:\t2\n"
    b"Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nThreads:\t1\n"
)
STATUS = (
    b"Name:\tui\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t7\nPPid:\t1\nUid:\t1000\t1001\t1000\t1000\n"
    b"RssAnon:\t    5000 kB\nRssFile:\t    3000 kB\nRssShmem:\t    1000 kB\nVmSwap:\t     128 kB\nThreads:\t3\n"
)


@pytest.mark.parametrize(
    "comm",
    [b"ui", b"foo) Z", b"a b c", b"((", b"))", b") S 1 1 1", b"new\nline", b"", b"\xff\xfe", b'quo"te', b"tab\t"],
)
def test_identity_survives_any_name(comm: bytes) -> None:
    stat = parse_stat(stat_text(7, comm, "S", 1, 0x400000, 4711))
    assert stat == Stat(comm.decode("utf-8", "replace"), "S", 1, 4711, False, 11)


@given(st.binary(max_size=15), st.sampled_from("RSDZTtXIP"), st.integers(0, 2**22), st.integers(0, 2**63))
def test_identity_survives_every_name(comm: bytes, state: str, parent: int, start: int) -> None:
    stat = parse_stat(stat_text(7, comm, state, parent, 0, start))
    assert stat == Stat(comm.decode("utf-8", "replace"), state, parent, start, cpu_ticks=11)


def test_a_kernel_thread_is_known_by_its_flag() -> None:
    stat = parse_stat(stat_text(7, b"kworker/0:1", "I", 2, 0x04208060, 12))
    assert stat is not None and stat.kernel_thread


def test_no_part_of_a_stat_gives_a_shorter_start_time() -> None:
    whole = stat_text(7, b"foo) Z", "S", 1, 0x400000, 4711)
    for length in range(len(whole)):
        stat = parse_stat(whole[:length])
        assert stat is None or stat.start_ticks == 4711


@pytest.mark.parametrize("data", [b"", b"7", b"7 (", b")(", b"7 (a) S x " + b"1 " * 30, b"7 (a) S 1 " + b"-1 " * 30])
def test_an_odd_stat_is_none(data: bytes) -> None:
    assert parse_stat(data) is None


@given(st.binary())
def test_no_bytes_make_parsing_fail(data: bytes) -> None:
    parse_stat(data)
    parse_status(data)
    parse_cgroup(data)


def test_sizes_and_the_effective_user_are_read() -> None:
    assert parse_status(STATUS) == Sizes(5000, 1000, 128, 1001, "ui")


def test_page_tables_are_read() -> None:
    sizes = parse_status(STATUS + b"VmPTE:\t      24 kB\n")
    assert sizes is not None and sizes.tables_kib == 24


def test_a_kernel_without_swap_has_nothing_swapped() -> None:
    sizes = parse_status(STATUS.replace(b"VmSwap:\t     128 kB\n", b""))
    assert sizes is not None and sizes.swapped_kib == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        KTHREAD,
        STATUS.replace(b"RssAnon", b"Rss"),
        STATUS.replace(b"Uid:", b"Gid:"),
        STATUS.replace(b"5000 kB", b"? kB"),
        STATUS.replace(b"1000\t1001\t1000\t1000", b"1000"),
        STATUS[: STATUS.index(b"5000") + 2],
    ],
)
def test_what_has_no_memory_or_is_cut_off_has_no_sizes(data: bytes) -> None:
    assert parse_status(data) is None


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"ui", "ui"),
        (b" spaced ", " spaced "),
        (rb"new\nline", "new\nline"),
        (rb"back\\slash", "back\\slash"),
        (rb"both\\n", "both\\n"),
        (rb"\\\n", "\\\n"),
        (b"caf\xc3", "caf\ufffd"),
        (b"", ""),
    ],
)
def test_the_name_is_as_the_process_has_it(line: bytes, name: str) -> None:
    sizes = parse_status(STATUS.replace(b"Name:\tui", b"Name:\t" + line))
    assert sizes is not None and sizes.name == name


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"0::/system.slice/ui.service\n", "/system.slice/ui.service"),
        (b"4:memory:/m\n1:name=systemd:/s\n0::/u:with:colons\n", "/u:with:colons"),
        (b"4:memory:/m\n1:name=systemd:/s\n", "/s"),
        (b"5:cpu,memory:/m\n3:freezer:/f\n", "/m"),
        (b"3:freezer:/f\n", "/"),
        (b"0::\n", "/"),
        (b"", "/"),
        (b"junk", "/"),
    ],
)
def test_the_cgroup_is_the_unified_one_then_systemds_then_that_of_memory(data: bytes, path: str) -> None:
    assert parse_cgroup(data) == path


def test_a_process_is_read_from_its_files(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    proc.add(7, b"ui", exe="/usr/bin/ui (deleted)", cmdline=b"ui\0--full screen\0", adj=-17, cgroup="/a")
    root = str(proc.root)
    assert read_stat(root, 7) == Stat("ui", "S", 1, 1000, cpu_ticks=11)
    assert read_sizes(root, 7) == Sizes(4096, 0, 0, 0, "ui")
    assert read_exe(root, 7) == "/usr/bin/ui"
    assert read_cmdline(root, 7) == "ui --full screen"
    assert read_oom_score_adj(root, 7) == -17
    assert read_cgroup(root, 7) == "/a"


def test_a_process_that_is_gone_is_a_value(tmp_path: Path) -> None:
    root = str(FakeProc(tmp_path).root)
    assert (read_stat(root, 7), read_sizes(root, 7), read_oom_score_adj(root, 7)) == (None, None, None)
    assert (read_exe(root, 7), read_cmdline(root, 7), read_cgroup(root, 7)) == ("", "", "/")


def test_a_zombie_has_an_identity_and_no_sizes(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    proc.add(7, state="Z")
    stat = read_stat(str(proc.root), 7)
    assert stat is not None and stat.state == "Z"
    assert read_sizes(str(proc.root), 7) is None


def test_an_odd_oom_score_adj_is_none_and_never_zero(tmp_path: Path) -> None:
    folder = FakeProc(tmp_path).add(7)
    for odd in (b"", b"x\n"):
        (folder / "oom_score_adj").write_bytes(odd)
        assert read_oom_score_adj(str(tmp_path / "proc"), 7) is None


def test_only_numbers_are_processes(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    for pid in (10, 9, 100):
        proc.add(pid)
    (proc.root / "self").mkdir()
    (proc.root / "meminfo").write_bytes(b"")
    assert list_pids(str(proc.root)) == [9, 10, 100]


def test_this_process_reads_as_itself() -> None:
    stat, sizes = read_stat("/proc", os.getpid()), read_sizes("/proc", os.getpid())
    assert stat is not None and stat.parent == os.getppid() and not stat.kernel_thread
    assert sizes is not None and sizes.anon_kib > 0 and sizes.user == os.geteuid() and sizes.name == stat.comm
