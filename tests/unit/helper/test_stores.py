"""Swap that comes and goes while lmkd runs is noticed, told to the guard, and recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lmkd.helper.stores import SHARE_DEFAULT, SwapWatch
from lmkd.kernel.swap import page_bytes, swap_header
from tests.unit.plans import make_plan

HEADING = "Filename Type Size Used Priority\n"


class Bench:
    """A fake /proc/swaps with its devices."""

    def __init__(self, base: Path) -> None:
        self.base = base
        (base / "proc").mkdir()
        (base / "dev").mkdir()
        self.swaps = base / "proc" / "swaps"
        self.reports: list[tuple[str, dict[str, object]]] = []
        self.told: list[tuple[tuple[int, ...], int]] = []
        self.watch: SwapWatch | None = None

    def are(self, *lines: str) -> None:
        self.swaps.write_text(HEADING + "".join(f"{line}\n" for line in lines))
        if self.watch is not None:
            self.watch.look()

    def label(self, number: int, label: str) -> None:
        header = swap_header(page_bytes(), 4096, bytes(16), label)
        (self.base / "dev" / f"zram{number}").write_bytes(header)

    def stat(self, number: int, orig_kib: int, used_kib: int) -> None:
        folder = self.base / "block" / f"zram{number}"
        folder.mkdir(parents=True)
        (folder / "mm_stat").write_text(f"{orig_kib << 10} 0 {used_kib << 10} 0 0 0 0\n")

    def start(self) -> SwapWatch:
        plan = make_plan(self.base, sys_block=str(self.base / "block"), dev=str(self.base / "dev"))
        self.watch = SwapWatch(plan, self._report, lambda numbers, own: self.told.append((numbers, own)))
        return self.watch

    def _report(self, event: str, fields: tuple[tuple[str, Any], ...], level: str) -> None:
        self.reports.append((event, dict(fields)))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_is_there_at_the_start_is_told_and_no_change(bench: Bench) -> None:
    bench.label(0, "lmkd")
    bench.are("/dev/zram0 partition 1000 0 100")
    bench.start()
    assert bench.told == [((0,), 0)]
    assert bench.reports == []


def test_one_that_appears_later_is_recorded_and_counts(bench: Bench) -> None:
    bench.are()
    watch = bench.start()
    assert bench.told == [((), -1)]
    bench.label(1, "zram-generator")
    bench.are("/dev/mmcblk0p3 partition 5000 0 -2", "/dev/zram1 partition 1000 0 100")
    assert bench.told[-1] == ((1,), -1)
    ((event, fields),) = bench.reports
    assert event == "store_changed"
    assert fields["appeared"] == ("zram1 100", "mmcblk0p3 -2")
    assert (fields["gone"], fields["own"], fields["disk_kib"]) == ((), None, 5000)
    assert watch.own == -1


def test_lmkds_own_brought_up_and_taken_down_later_is_noticed_the_same_way(bench: Bench) -> None:
    bench.are()
    watch = bench.start()
    bench.label(0, "lmkd")
    bench.are("/dev/zram0 partition 1000 0 100")
    assert (watch.own, bench.told[-1]) == (0, ((0,), 0))
    bench.are()
    assert (watch.own, bench.told[-1]) == (-1, ((), -1))
    assert [fields["gone"] for _, fields in bench.reports] == [(), ("zram0 100",)]


def test_of_two_the_one_with_the_higher_priority_is_the_store(bench: Bench) -> None:
    bench.label(0, "lmkd")
    bench.label(4, "lmkd")
    bench.are("/dev/zram0 partition 1000 0 100", "/dev/zram4 partition 1000 0 101")
    assert bench.start().own == 4
    assert bench.told == [((4, 0), 4)]


def test_what_only_fills_is_no_change(bench: Bench) -> None:
    bench.are("/dev/zram0 partition 1000 0 100")
    bench.start()
    bench.are("/dev/zram0 partition 1000 900 100")
    assert bench.reports == []


def test_a_swapped_page_occupies_what_all_devices_say(bench: Bench) -> None:
    bench.are("/dev/zram0 partition 1000 0 100", "/dev/zram1 partition 1000 0 99")
    watch = bench.start()
    assert watch.share() == SHARE_DEFAULT
    bench.stat(0, 8000, 2000)
    bench.stat(1, 2000, 1000)
    assert watch.share() == pytest.approx(0.3)


def test_without_the_list_there_is_nothing_to_watch(tmp_path: Path) -> None:
    watch = SwapWatch(make_plan(tmp_path), lambda *_: None)
    assert (watch.descriptor, watch.numbers, watch.own) == (-1, (), -1)
    watch.look()
    watch.close()
