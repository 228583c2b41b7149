"""Samples of memory: of all processes by their size, present anonymous pages alone, of real processes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.errors import StoreError
from lmkd.kernel.process_pages import OF_FILE, PRESENT, SWAPPED, Mapping, ProcessPages, own_entries, parse_maps
from lmkd.store import sampler
from tests.unit.guard.children import child

PAGE = os.sysconf("SC_PAGE_SIZE")
# Every page of 2 MB begins with the same eight bytes and holds its own number. The name: other Pythons of the machine
# are not to be sampled in its place.
FILLED = f"""
import mmap, os, struct, time
open("/proc/self/comm", "w").write("sampled" + str(os.getpid()))
memory = mmap.mmap(-1, 512 * {PAGE}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(512):
    memory[at * {PAGE} : at * {PAGE} + 16] = struct.pack("=8sQ", b"sampled!", at)
print("ready", flush=True)
time.sleep(60)
"""
MAPS = (
    b"00010000-00011000 r-xp 00000000 b3:02 100 /usr/bin/python3\n"
    b"00020000-00022000 rw-p 00000000 b3:02 100 /usr/bin/python3\n"
    b"01000000-01008000 rw-p 00000000 00:00 0 [heap]\n"
    b"40000000-40001000 rw-s 00000000 00:01 7 /memfd:a name (deleted)\n"
    b"50000000-50001000 rw-p 00000000 00:0"
)


def test_only_private_writable_mappings_are_looked_at_and_a_line_cut_off_is_none() -> None:
    assert parse_maps(MAPS) == [Mapping(0x20000, 0x2000), Mapping(0x1000000, 0x8000)]


def test_only_present_anonymous_pages_are_taken() -> None:
    entries = (0, PRESENT | 5, SWAPPED | 9, PRESENT | OF_FILE, PRESENT | SWAPPED, PRESENT | 1 << 55)
    assert own_entries(struct.pack("=6Q", *entries)) == [1, 5]
    assert own_entries(bytes(4096)) == [] and own_entries(b"") == []


@given(st.dictionaries(st.integers(1, 99999), st.integers(1, 1 << 22), max_size=20), st.integers(1, 512))
def test_shares_are_whole_sum_up_and_follow_the_sizes(sizes: dict[int, int], pages: int) -> None:
    given_pages = sampler.shares(sizes, pages)
    assert sum(given_pages.values()) == (pages if sizes else 0)
    total = sum(sizes.values())
    assert all(abs(given_pages.get(pid, 0) - size * pages / total) < 1.001 for pid, size in sizes.items())


@given(st.lists(st.integers(), unique=True), st.integers(0, 50), st.integers())
def test_no_page_is_chosen_twice(numbers: list[int], count: int, seed: int) -> None:
    chosen = sampler.choose(numbers, count, seed)
    assert len(chosen) == len(set(chosen)) == min(count, len(numbers))
    assert set(chosen) <= set(numbers)


def test_a_page_of_one_repeated_word_is_known() -> None:
    word = struct.calcsize("L")
    assert sampler.is_same(memoryview(bytes(PAGE)))
    assert sampler.is_same(memoryview(b"abcdefgh"[:word] * (PAGE // word)))
    assert not sampler.is_same(memoryview(bytes(PAGE - 1) + b"x"))


def test_pages_of_a_real_process_are_sampled_whole() -> None:
    with child(FILLED) as process:
        try:
            with ProcessPages("/proc", process.pid, PAGE) as memory:
                pages = list(memory.present())
                assert len(pages) > 512
                found = bytearray(PAGE)
                assert memory.read(pages[0], memoryview(found))
                assert not memory.read(1, memoryview(found))
        except PermissionError:
            pytest.skip("may not look into the memory of a child here")
        name = f"sampled{process.pid}"
        mine = {process.pid: sampler.anonymous_kib("/proc", process.pid)}
        buffer, taken = sampler.take("/proc", PAGE, 64, 1, lambda comm: comm == name)
    heads = [bytes(buffer.view[at * PAGE : at * PAGE + 8]) for at in range(taken.pages)]
    buffer.close()
    assert mine[process.pid] and taken.pages <= 64 and taken.processes >= 1
    assert heads.count(b"sampled!") > 0


def test_a_process_that_is_gone_and_a_kernel_thread_have_no_memory(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "status").write_text("Name:\tkthreadd\nUid:\t0\t0\t0\t0\n")
    (tmp_path / "3").mkdir()
    assert sampler.processes(str(tmp_path)) == {}


def test_too_few_pages_are_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="only 0 pages"):
        sampler.take(str(tmp_path), PAGE)


def test_a_process_that_may_not_be_read_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tx\nRssAnon:\t 4096 kB\nVmSwap:\t 0 kB\n")
    with pytest.raises(StoreError, match="ENOENT"):
        sampler.take(str(tmp_path), PAGE)
