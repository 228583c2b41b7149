"""``lmkd store bench``'s measurements: arithmetic, how much it takes, what it refuses, and that nothing is left."""

from __future__ import annotations

import lzma
import os
from collections.abc import Callable, Iterator

import pytest

from lmkd.errors import StoreError
from lmkd.kernel.own_memory import OwnMemory, away
from lmkd.kernel.swap import SwapEntry
from lmkd.store import bench_pages, bench_room
from lmkd.store.bench import Bench, deaths_shown, ways_shown
from lmkd.store.bench_pages import THREE, VARIED, WHOLE, Back, Deaths, Level
from lmkd.store.bench_process import BenchProcess, Task, Worker
from lmkd.store.bench_room import Room, fitting_kib, require_store, room_of
from lmkd.store.fit import Memory
from lmkd.store.state import NO_STORE
from lmkd.values import replace
from tests.unit.store.bench_fakes import PAGE, ZRAM, ZSWAP, FakeBench

SIZE_KIB = 16 << 10
ROOMY = Room(available_kib=150_000, keep_kib=16 << 10, slots_kib=300_000, store_kib=70_000)


@pytest.mark.parametrize(("kind", "least", "most"), [(THREE, 0.3, 0.4), (WHOLE, 1.0, 1.05), (VARIED, 0.3, 0.4)])
def test_pages_compress_as_their_kind_says(kind: str, least: float, most: float) -> None:
    pages = [first.ljust(PAGE, b"\0") for first in bench_pages.contents(kind, 1, 64, PAGE)]
    assert all(len(page) == PAGE for page in pages) and len(set(pages)) == 64
    compressed = sum(len(lzma.compress(page, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])) for page in pages)
    assert least < compressed / 64 / PAGE < most


def test_contents_are_made_again_from_their_seed_and_one_other_byte_anywhere_is_found() -> None:
    kept: dict[int, bytearray] = {}
    bench_pages.fill(lambda number, first: kept.__setitem__(number, bytearray(first.ljust(PAGE, b"\0"))), made(7))
    count = bench_pages.different(lambda number: bytes(kept[number]), made(7), PAGE)
    assert count == 0
    kept[3][-1] ^= 1
    kept[5][0] ^= 1
    assert bench_pages.different(lambda number: bytes(kept[number]), made(7), PAGE) == 2


def made(seed: int) -> Iterator[bytes]:
    return bench_pages.contents(VARIED, seed, 8, PAGE)


def test_the_loop_that_touches_is_not_counted() -> None:
    back = Back(pages=1000, begun_ns=0, ended_ns=27_500_000, cpu_ns=26_500_000, loop_ns=2_000_000, major=1000)
    assert bench_pages.back_us(back) == pytest.approx(25.5)
    assert bench_pages.back_cpu_us(back) == pytest.approx(24.5)
    assert bench_pages.mb_s(1000, PAGE, back.own_ns) == pytest.approx(153.2, abs=0.1)


def test_single_faults_are_less_the_median_of_the_same_step_without_one() -> None:
    times = [20_000 + 2000] * 980 + [200_000 + 2000] * 19 + [400_000 + 2000]
    found = bench_pages.spread(times, [2000] * 999 + [90_000])
    assert (found.median_us, found.p99_us, found.worst_us) == (20.0, 200.0, 400.0)
    assert bench_pages.spread([1000], [2000]).worst_us == 0


def test_two_on_one_processor_have_both_loops_in_their_time_and_two_apart_have_one() -> None:
    one = Back(1024, 0, 52_000_000, 26_000_000, 2_000_000, 1024)
    other = replace(one, begun_ns=1_000_000, ended_ns=54_000_000)
    assert bench_pages.together_mb_s((one, other), PAGE, True) == pytest.approx(8 / 0.050)
    assert bench_pages.together_mb_s((one, other), PAGE, False) == pytest.approx(8 / 0.052)


def test_what_deaths_give_back_is_held_against_the_average_ratio() -> None:
    deaths = Deaths(Level(18_000, 6000), Level(10_000, 4000), Level(10_000, 3400))
    assert (deaths.gone_kib, deaths.predicted_kib) == (8000, 2667)
    found = deaths_shown(deaths, {})
    assert found["returned_kib"] == {"at_once": 2000, "compacted": 2600} and found["error_pct"] == 2.6
    without = deaths_shown(replace(deaths, compacted=None), {})
    assert without["compacted"] is None and without["returned_kib"] == {"at_once": 2000}
    nothing = deaths_shown(Deaths(Level(0, 0), Level(0, 0), None), {})
    assert (nothing["predicted_kib"], nothing["error_pct"]) == (0, None)


def test_it_takes_what_is_asked_for_where_there_is_room() -> None:
    assert [fitting_kib(SIZE_KIB, ROOMY, kind, 2) for kind in (THREE, VARIED, WHOLE)] == [SIZE_KIB] * 3


@pytest.mark.parametrize(
    ("room", "kind", "expected"),
    [
        (replace(ROOMY, available_kib=(16 << 10) + 3072 + 2048), THREE, 2048),
        (replace(ROOMY, available_kib=64 << 10), THREE, 8192),
        (replace(ROOMY, slots_kib=3000), THREE, 2560),
        (replace(ROOMY, store_kib=4096), THREE, 8192),
        (replace(ROOMY, store_kib=4096), WHOLE, 3072),
        (replace(ROOMY, store_kib=None), WHOLE, SIZE_KIB),
    ],
)
def test_it_takes_less_where_memory_slots_or_the_store_are_short(room: Room, kind: str, expected: int) -> None:
    assert fitting_kib(SIZE_KIB, room, kind, 2) == expected


def test_pages_that_zswap_refuses_are_few_and_need_no_room_in_it() -> None:
    assert fitting_kib(SIZE_KIB, replace(ROOMY, store_kib=0), WHOLE, 1, refuses=True) == bench_room.REFUSED_KIB


def test_it_refuses_with_the_numbers_when_too_little_would_stay_available_or_the_store_is_full() -> None:
    with pytest.raises(StoreError, match="memory is short: 20000 KiB are available, 20480 are needed"):
        fitting_kib(SIZE_KIB, replace(ROOMY, available_kib=20_000), THREE, 2)
    with pytest.raises(StoreError, match="room for 200 KiB of ratio 3 pages in the store only"):
        fitting_kib(SIZE_KIB, replace(ROOMY, store_kib=100), THREE, 2)


def test_a_board_of_64_mb_is_measured_with_fewer_processes() -> None:
    room = room_of(replace(ZRAM, mem_limit_kib=14_000, size_kib=60_000), Memory(46_292, 18_012))
    assert room.keep_kib == 8192 and fitting_kib(SIZE_KIB, room, THREE, 1) == 2048
    assert bench_room.fitting_apps(8, SIZE_KIB, room, VARIED) == (4, 2048)
    with pytest.raises(StoreError, match="12000 KiB are available, 12288 are needed"):
        bench_room.fitting_apps(8, SIZE_KIB, replace(room, available_kib=12_000), VARIED)


def test_a_large_board_keeps_an_eighth_available() -> None:
    assert room_of(ZRAM, Memory(1_000_000, 500_000)).keep_kib == 125_000
    assert room_of(ZRAM, Memory(241_012, 150_000)) == Room(150_000, 30_126, 297_000, 69_000)


def test_without_a_store_or_with_swap_before_it_nothing_is_measured() -> None:
    with pytest.raises(StoreError, match="`lmkd store up` makes one"):
        require_store(NO_STORE, ())
    own = SwapEntry("/dev/zram0", "partition", 300_000, 0, 100)
    disk = SwapEntry("/dev/mmcblk0p3", "partition", 100_000, 0, 100)
    with pytest.raises(StoreError, match=r"mmcblk0p3 \(priority 100\) as well as to zram0 \(100\)"):
        require_store(ZRAM, (own, disk))
    require_store(ZRAM, (own, replace(disk, priority=-2)))
    require_store(ZRAM, (own, replace(disk, used_kib=100_000)))


def test_compressible_and_incompressible_pages_each_get_a_mean_and_single_faults_of_other_pages() -> None:
    port = FakeBench()
    bench = Bench(port, SIZE_KIB)
    ways, missing = bench.ways()
    found = ways_shown(ways, bench.pairs(), PAGE)
    three, whole = found["ways"]
    assert missing == () and [three["kind"], whole["kind"]] == [THREE, WHOLE]
    assert (three["tried"], three["out"], three["out_us"], three["back_us"]) == (4096, 4096, 50.0, 23.0)
    assert (three["median_us"], three["worst_us"], three["mb_s"]) == (21.0, 400.0, 169.8)
    assert found["compared"] == 4 * 4096 + 2 * 2048 and found["corrupt"] == 0
    assert sorted(port.ended) == [one + 100 for one in range(len(port.started))]


def test_two_at_once_begin_at_one_time_on_one_processor_and_on_two_where_there_are() -> None:
    port = FakeBench()
    port.cpus = [2, 3, 5]
    pairs = Bench(port, SIZE_KIB).pairs()
    assert [pair.processors for pair in pairs] == [1, 2]
    assert [one.task.cpu for one in port.started] == [2, 2, 2, 3]
    begun = {numbers for _, word, numbers in port.asked if word == "back"}
    assert begun == {(5_000_000 + 100_000_000,)}


def test_of_pages_that_zswap_refuses_only_the_way_out_is_told() -> None:
    port = FakeBench(ZSWAP)
    ways, _ = Bench(port, SIZE_KIB).ways()
    whole = ways_shown(ways, (), PAGE)["ways"][1]
    assert (whole["tried"], whole["out"], whole["out_us"]) == (256, 0, 50.0) and "back_us" not in whole


def test_a_row_for_which_there_is_no_room_does_not_keep_the_other_from_it() -> None:
    port = FakeBench(replace(ZRAM, mem_limit_kib=2000))
    ways, missing = Bench(port, SIZE_KIB).ways()
    assert [way.kind for way in ways] == [THREE] and missing[0].startswith("incompressible: store: not measured")


def test_a_process_that_was_ended_is_no_reason_to_take_memory_for_the_next_row() -> None:
    port = FakeBench()
    port.dies_at = "out"
    with pytest.raises(StoreError, match="ended"):
        Bench(port, SIZE_KIB).ways()
    assert [word for _, word, _ in port.asked] == ["out"]


def test_every_second_process_ends_and_the_others_are_compared() -> None:
    port = FakeBench()
    deaths, counted = Bench(port, SIZE_KIB).deaths(8)
    found = deaths_shown(deaths, counted)
    assert (counted["apps"], counted["ended"], counted["app_kib"], counted["compared"]) == (8, 4, 2048, 2048)
    assert found["gone_kib"] == 8192 and found["predicted_kib"] == 2731
    assert found["returned_kib"] == {"at_once": 2048, "compacted": 2730} and found["error_pct"] == 0.0
    first = [pid for pid, word, numbers in port.asked if word == "out" and numbers == (0, 32)]
    assert first == list(range(100, 108)), "each gives a piece in turn"


def test_what_zswap_gives_back_is_told_without_compaction() -> None:
    deaths, _ = Bench(FakeBench(ZSWAP), SIZE_KIB).deaths(8)
    assert deaths.compacted is None


def test_a_store_that_takes_nothing_is_told_of() -> None:
    port = FakeBench()
    port.refuses = True
    with pytest.raises(StoreError, match="takes no pages"):
        Bench(port, SIZE_KIB).deaths(4)
    assert sorted(port.ended) == [100, 101, 102, 103]


@pytest.mark.parametrize("word", ["out", "back", "timed", "compare"])
def test_whenever_a_process_is_ended_by_somebody_none_is_left(word: str) -> None:
    port = FakeBench()
    port.dies_at = word
    bench = Bench(port, SIZE_KIB)
    parts: dict[str, Callable[[], object]]
    parts = {"ways": bench.ways, "pairs": bench.pairs, "deaths": lambda: bench.deaths(4)}
    for name in {"timed": ("ways",), "back": ("ways", "pairs")}.get(word, tuple(parts)):
        with pytest.raises(StoreError, match="ended"):
            parts[name]()
    assert sorted(port.ended) == [one + 100 for one in range(len(port.started))]


def test_of_mincore_only_the_lowest_bit_counts() -> None:
    assert away(bytes((0, 1, 0xFE, 0xFF))) == [0, 2]


class Stays(OwnMemory):
    """Memory that the kernel is not asked to reclaim: every page counts as away."""

    def page_out(self, first: int, count: int) -> None:
        self.asked = (first, count)

    def away(self) -> list[int]:
        return list(range(self.pages))


def test_a_process_measures_only_pages_that_are_away() -> None:
    memory = Stays(16, PAGE)
    worker = Worker(Task(THREE, 1, 16, PAGE, None), memory)
    with pytest.raises(StoreError, match="no page is away"):
        worker.answer("back")
    out = worker.answer("out")
    assert (out["tried"], out["out"], memory.asked) == (16, 16, (0, 16))
    back = worker.answer("back", 0)
    assert back["pages"] == 16 and back["ended_ns"] > back["begun_ns"]
    assert worker.answer("timed")["worst_us"] >= 0
    assert worker.answer("compare") == {"compared": 16, "corrupt": 0}
    memory.write(9, b"x")
    assert worker.answer("compare") == {"compared": 16, "corrupt": 1}
    memory.close()


def test_a_real_process_answers_and_is_gone_when_it_is_ended() -> None:
    process = BenchProcess(Task(THREE, 1, 16, os.sysconf("SC_PAGE_SIZE"), None))
    pid = process.pid
    try:
        assert process.ask("compare") == {"compared": 16, "corrupt": 0}
        with pytest.raises(StoreError, match="KeyError"):
            process.ask("nonsense")
    finally:
        process.end()
    process.end()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_somebody_ended_is_told_of() -> None:
    process = BenchProcess(Task(THREE, 1, 16, os.sysconf("SC_PAGE_SIZE"), None))
    os.kill(process.pid, 9)
    try:
        with pytest.raises(StoreError, match="has been ended: memory is short"):
            process.ask("compare")
    finally:
        process.end()
