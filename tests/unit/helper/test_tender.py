"""Writing back over fake sysfs files: within the day's budget, in slices, and not at all when told to stop."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from lmkd.helper import tender as tenders
from lmkd.helper.flash_account import FlashAccount
from lmkd.helper.tender import PASS_KIB, SLICE_KIB, UNIT_KIB, Tender
from lmkd.plan import Writeback
from lmkd.values import as_dict

ALLOWED = Writeback(huge=True, idle=True, idle_s=600, daily_kib=20_000, recompress="", folders=())


class Device:
    """A zram with pages to write, as the kernel writes them: as far as the limit allows."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.base = base
        self.waiting = {"huge": 0, "idle": 0}
        self.written_kib = 0
        self.limit = 0
        self.enabled = False
        self.tracks_age = True
        self.room_kib = 1 << 30
        self.log: list[tuple[str, str]] = []
        self.now_ms = 1000.0
        self.busy: list[bool] = []
        self.reports: list[tuple[str, dict[str, object]]] = []
        self.account = FlashAccount((str(base),), changes.get("daily_kib", ALLOWED.daily_kib), lambda: 1e9)
        monkeypatch.setattr(tenders, "write_attribute", self._write)
        allowed = Writeback(**as_dict(ALLOWED) | changes)
        self.tender = Tender(allowed, self._report, self.busy.append, self.account, lambda: self.now_ms)
        self.stat()

    def stat(self, compressed_kib: int = 9000) -> None:
        (self.base / "bd_stat").write_text(f"0 0 {self.written_kib // UNIT_KIB}\n")
        (self.base / "mm_stat").write_text(f"40960000 {compressed_kib << 10} 10240000 0 0 0 0\n")

    def round(self) -> None:
        self.tender.begin(str(self.base))
        while self.tender.pending:
            self.now_ms += self.tender.timeout_ms() or 0.0
            self.tender.turn()

    def of(self, event: str) -> list[dict[str, object]]:
        return [fields for name, fields in self.reports if name == event]

    def _write(self, path: str, text: bytes) -> int:
        name, said = path.rpartition("/")[2], text.decode()
        self.log.append((name, said))
        if name == "idle" and said != "all" and not self.tracks_age:
            return errno.EINVAL
        if name == "writeback_limit":
            self.limit = int(said) * UNIT_KIB
        if name == "writeback":
            assert self.busy[-1] is True
            kib = min(self.waiting[said], self.limit, self.room_kib)
            full = self.waiting[said] > self.room_kib
            self.waiting[said] -= kib
            self.written_kib += kib
            self.limit -= kib
            self.stat()
            return errno.ENOSPC if full else errno.EIO if not self.limit else 0
        if name == "recompress":
            self.stat(5000)
        return 0

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        self.reports.append((event, dict(fields)))


def test_what_waits_is_written_and_the_record_has_pages_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(tmp_path, monkeypatch)
    device.waiting = {"huge": 3000, "idle": 100}
    device.round()
    assert device.written_kib == 3100
    records = device.of("writeback")
    assert [(record["mode"], record["pages"], record["bytes"]) for record in records] == [
        ("huge", 750, 3000 << 10), ("idle", 25, 100 << 10),
    ]  # fmt: skip
    assert device.account.left_kib() == ALLOWED.daily_kib - 3100, "what was not written is given back"
    assert device.busy[-1] is False


def test_the_days_budget_ends_it_whatever_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(tmp_path, monkeypatch)
    device.waiting = {"huge": 10**6, "idle": 10**6}
    for _ in range(5):
        device.round()
    assert device.written_kib == ALLOWED.daily_kib
    assert device.account.left_kib() == 0
    assert device.limit == 0, "the kernel writes nothing that lmkd did not ask for"


def test_it_is_charged_before_it_is_written_so_a_crash_gives_no_second_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(tmp_path, monkeypatch)
    device.waiting["huge"] = 10**6
    device.tender.begin(str(tmp_path))
    device.tender.turn()
    assert device.written_kib == SLICE_KIB
    fresh = FlashAccount((str(tmp_path),), ALLOWED.daily_kib, lambda: 1e9)
    assert fresh.left_kib() == ALLOWED.daily_kib - PASS_KIB


def test_it_goes_in_slices_with_pauses_and_can_be_stopped_between_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(tmp_path, monkeypatch)
    device.waiting["huge"] = 10**6
    device.tender.begin(str(tmp_path))
    device.tender.turn()
    device.tender.stop()
    assert (device.tender.pending, device.written_kib) == (False, SLICE_KIB)
    assert device.account.left_kib() == ALLOWED.daily_kib - SLICE_KIB
    assert device.of("writeback")[0]["pages"] == SLICE_KIB // UNIT_KIB
    device.tender.turn()
    assert device.written_kib == SLICE_KIB


def test_without_the_kernels_clock_of_pages_idle_is_what_stayed_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(tmp_path, monkeypatch, huge=False)
    device.tracks_age = False
    device.waiting["idle"] = 400
    device.round()
    assert (device.written_kib, device.log.count(("idle", "all"))) == (0, 1)
    device.now_ms += 599_000
    device.round()
    assert (device.written_kib, device.log.count(("idle", "all"))) == (0, 1)
    device.now_ms += 2000
    device.round()
    assert device.written_kib == 400
    device.round()
    assert device.log.count(("idle", "all")) == 2, "then it begins anew"


def test_a_disk_that_is_full_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(tmp_path, monkeypatch, idle=False)
    device.room_kib, device.waiting["huge"] = 0, 100
    device.round()
    device.round()
    assert [record["failed"] for record in device.of("writeback")] == ["ENOSPC"]


def test_nothing_to_write_is_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(tmp_path, monkeypatch)
    device.round()
    assert device.reports == []
    assert device.account.left_kib() == ALLOWED.daily_kib


def test_recompression_touches_no_flash_and_says_what_it_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(tmp_path, monkeypatch, huge=False, idle=False, recompress="zstd")
    device.round()
    assert ("recompress", "type=idle algo=zstd") in device.log
    assert device.of("recompress")[0]["compressed_kib"] == 4000
    assert not [name for name, _ in device.log if name.startswith("writeback")]


def test_a_round_goes_on_when_another_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(tmp_path, monkeypatch)
    device.waiting["huge"] = 10**6
    device.tender.begin(str(tmp_path))
    device.tender.turn()
    device.tender.begin(str(tmp_path))
    assert device.account.left_kib() == ALLOWED.daily_kib - PASS_KIB
