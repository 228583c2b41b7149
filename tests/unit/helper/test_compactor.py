"""Compacting over fake sysfs files: when it is worth it, and how long it is not tried again when it was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lmkd.helper.compactor import REST_MAX_MS, REST_MS, SLACK_MIN_KIB, SLACK_PCT, Compactor

HELD_KIB = 5000


class Device:
    """A zram's folder, and a compactor with a clock of the test's. Each compaction is seen by its report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ms = 50_000.0
        self.reports: list[dict[str, Any]] = []
        (folder / "compact").write_text("")
        self.compactor = Compactor(str(folder / "mm_stat"), self._report, lambda: self.now_ms)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        assert (event, level) == ("compact", "info")
        self.reports.append(dict(fields))

    def holds(self, slack_kib: int) -> None:
        """The store takes so much more than the bytes that it holds; a compaction does not change that."""
        stat = f"20000000 {HELD_KIB << 10} {HELD_KIB + slack_kib << 10} 0 0 0 0 0 0\n"
        (self.folder / "mm_stat").write_text(stat)

    def pays(self, slack_kib: int) -> None:
        """As ``holds``, and the kernel gives all of it back when told to compact.

        The "1" that is written makes one more column in front, which moves the bytes held to where the bytes taken
        are looked for.
        """
        self.holds(slack_kib)
        stat = self.folder / "mm_stat"
        stat.write_text("  " + stat.read_text())
        (self.folder / "compact").unlink()
        (self.folder / "compact").symlink_to(stat)

    def compacts(self, after_ms: float = 0.0) -> bool:
        """Is it done, when asked for so much later?"""
        self.now_ms += after_ms
        before = len(self.reports)
        self.compactor.compact()
        return len(self.reports) > before


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_a_store_with_holes_is_compacted_and_the_record_says_what_came_back(device: Device) -> None:
    device.pays(4000)
    assert device.compacts()
    assert device.reports == [{"slack_kib": 4000, "returned_kib": 4000, "ms": 0.0}]


def test_the_kernel_is_told_so(device: Device) -> None:
    device.holds(4000)
    assert device.compacts()
    assert (device.folder / "compact").read_text() == "1"


@pytest.mark.parametrize(("slack", "worth"), [(0, False), (SLACK_MIN_KIB - 1, False), (SLACK_MIN_KIB, True)])
def test_few_holes_are_not_worth_it(device: Device, slack: int, worth: bool) -> None:
    device.holds(slack)
    assert device.compacts() == worth
    assert (device.folder / "compact").read_text() == ("1" if worth else "")


def test_of_a_large_store_a_few_percent_are_its_own_bookkeeping(device: Device) -> None:
    stat = device.folder / "mm_stat"
    for slack_pct, worth in ((SLACK_PCT - 1, False), (SLACK_PCT, True)):
        stat.write_text(f"900000000 {(100 - slack_pct) * 1_024_000} 102400000 0 0\n")
        assert device.compacts() == worth


def test_one_that_paid_is_tried_again_after_the_shortest_rest(device: Device) -> None:
    for _ in range(3):
        device.pays(4000)
        assert device.compacts()
        device.pays(4000)
        assert not device.compacts(REST_MS - 1)
        device.now_ms += 1


def test_one_that_did_not_pay_is_tried_less_and_less_often(device: Device) -> None:
    device.holds(4000)
    assert device.compacts()
    rest_ms = 2 * REST_MS
    for _ in range(12):
        assert not device.compacts(rest_ms - 1)
        assert device.compacts(1)
        rest_ms = min(REST_MAX_MS, 2 * rest_ms)
    assert rest_ms == REST_MAX_MS


def test_one_that_paid_ends_the_long_rests(device: Device) -> None:
    device.holds(4000)
    assert device.compacts() and device.compacts(2 * REST_MS)
    device.pays(4000)
    assert device.compacts(4 * REST_MS)
    device.pays(4000)
    assert device.compacts(REST_MS)


def test_what_is_not_worth_it_costs_no_rest(device: Device) -> None:
    device.holds(0)
    assert not device.compacts()
    device.holds(4000)
    assert device.compacts()


@pytest.mark.parametrize("stat", ["", "\n", "odd", "1 2 3", "-1 2 9999999 0 0\n", "1 2 99999999", "a b c d e\n"])
def test_an_odd_statistic_is_no_reason(device: Device, stat: str) -> None:
    (device.folder / "mm_stat").write_text(stat)
    assert not device.compacts()
    assert (device.folder / "compact").read_text() == ""


@pytest.mark.parametrize("missing", ["mm_stat", "compact"])
def test_without_its_files_nothing_happens(device: Device, missing: str) -> None:
    device.holds(4000)
    (device.folder / missing).unlink()
    assert not device.compacts()


def test_a_kernel_that_refuses_is_no_compaction(device: Device) -> None:
    device.holds(4000)
    (device.folder / "compact").unlink()
    (device.folder / "compact").symlink_to("/dev/full")
    assert not device.compacts()


def test_without_zram_nothing_happens() -> None:
    reports: list[str] = []
    Compactor("", lambda event, _fields, _level: reports.append(event)).compact()
    assert reports == []
