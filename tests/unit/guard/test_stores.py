"""The store as the guard sees it: whichever devices the helper found, and a limit that is set or asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.guard.act import DryPort, RealPort
from lmkd.guard.exchange import _STORES, _WORDS, STORES_MAX, Exchange
from lmkd.guard.stores import Stores, number_of
from lmkd.model import Limit, StoreSample
from lmkd.plan import Plan
from tests.unit.guard.test_exchange import close
from tests.unit.guard.test_loop import Bench, FakePort
from tests.unit.plans import make_plan


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    made = Exchange()
    yield made
    close(made)


def device(base: Path, number: int, orig: int, used: int, limit: int, size_kib: int = 100_000) -> None:
    """A zram's sysfs folder; all in KiB."""
    folder = base / "block" / f"zram{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mm_stat").write_text(f"{orig << 10} {used << 9} {used << 10} {limit << 10} 0 0 0 5 9\n")
    (folder / "disksize").write_text(f"{size_kib << 10}\n")
    (folder / "mem_limit").write_text("")


def plan_of(base: Path, **changes: Any) -> Plan:
    """A plan whose own store is zram0."""
    named = {"sys_block": str(base / "block"), "zram_stat": str(base / "block/zram0/mm_stat"), "store_own": True}
    return make_plan(base, **named | changes)


def test_before_the_helper_has_looked_the_plans_device_is_the_store(tmp_path: Path, exchange: Exchange) -> None:
    device(tmp_path, 0, 8000, 2000, 30_000)
    stores = Stores(plan_of(tmp_path), exchange.stores, exchange.store_busy)
    assert stores.sample() == StoreSample(8000, 1000, 2000, 30_000, 20, 92_000, False, 2000, 30_000)
    assert stores.limit_path == str(tmp_path / "block/zram0/mem_limit")


def test_what_the_helper_finds_replaces_it(tmp_path: Path, exchange: Exchange) -> None:
    device(tmp_path, 0, 8000, 2000, 30_000)
    device(tmp_path, 7, 4000, 1000, 0)
    stores = Stores(plan_of(tmp_path), exchange.stores, exchange.store_busy)
    exchange.set_stores((7, 0), 0)
    found = stores.sample()
    assert found is not None and (found.orig_kib, found.used_kib, found.own_used_kib) == (12_000, 3000, 2000)
    exchange.set_stores((7,), -1)
    found = stores.sample()
    assert found is not None and (found.orig_kib, found.own_limit_kib) == (4000, 0)
    assert stores.limit_path == "", "somebody else's is left alone"
    exchange.set_stores((), -1)
    assert stores.sample() is None


def test_what_is_only_half_told_is_not_believed(tmp_path: Path, exchange: Exchange) -> None:
    device(tmp_path, 0, 8000, 2000, 30_000)
    exchange.set_stores((3, 4), 3)
    _WORDS.pack_into(exchange._view, _STORES, 7)
    assert exchange.stores() is None
    stores = Stores(plan_of(tmp_path), exchange.stores)
    assert stores.sample() is not None
    assert stores.limit_path.endswith("zram0/mem_limit")


def test_more_devices_than_there_is_room_for_are_the_first_of_them(exchange: Exchange) -> None:
    exchange.set_stores(tuple(range(20)), 3)
    told = exchange.stores()
    assert told is not None and told[1:] == (tuple(range(STORES_MAX)), 3)
    assert exchange.stores(told[0]) is None


def test_a_device_that_is_gone_counts_nothing(tmp_path: Path, exchange: Exchange) -> None:
    device(tmp_path, 0, 8000, 2000, 30_000)
    stores = Stores(plan_of(tmp_path), exchange.stores)
    exchange.set_stores((0, 9), 9)
    found = stores.sample()
    assert found is not None and (found.orig_kib, found.own_limit_kib) == (8000, 0)


def test_while_the_helper_is_at_work_on_the_device_its_limit_is_not_touched(
    tmp_path: Path, exchange: Exchange
) -> None:
    device(tmp_path, 0, 8000, 2000, 30_000)
    stores = Stores(plan_of(tmp_path), exchange.stores, exchange.store_busy)
    exchange.set_store_busy(True)
    assert stores.limit_path == ""
    exchange.set_store_busy(False)
    assert stores.limit_path


@pytest.mark.parametrize(
    ("path", "number"),
    [("/sys/block/zram0/mm_stat", 0), ("/sys/block/zram12/mm_stat", 12), ("", -1), ("/sys/block/sda/stat", -1)],
)
def test_the_number_stands_in_the_path(path: str, number: int) -> None:
    assert number_of(path) == number


def test_a_real_port_writes_bytes_and_a_dry_one_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mem_limit"
    path.write_text("")
    assert DryPort(str(tmp_path)).limit(str(path), 64)
    assert path.read_text() == ""
    assert RealPort(str(tmp_path)).limit(str(path), 64) == ""
    assert path.read_text() == "65536"
    assert "No such file" in RealPort(str(tmp_path)).limit(str(tmp_path / "none"), 64)


def test_a_limit_is_set_by_the_guard_and_recorded(tmp_path: Path) -> None:
    device(tmp_path, 0, 8000, 2000, 30_000)
    named = {"sys_block": str(tmp_path / "block"), "zram_stat": str(tmp_path / "block/zram0/mm_stat")}
    bench = Bench(tmp_path, FakePort(), store_own=True, **named)
    bench.guard._perform(Limit(64_000, (("from_kib", 30_000), ("to_kib", 64_000))), 0.0)
    assert bench.port.limits == [(str(tmp_path / "block/zram0/mem_limit"), 64_000)]
    (record,) = bench.records("store_limit")
    assert (record["from_kib"], record["to_kib"], record["refused"]) == (30_000, 64_000, "")
    close(bench.exchange)


def test_a_store_that_is_nearly_full_is_given_room_by_one_turn(tmp_path: Path) -> None:
    limit_kib = 249856 * 30 // 100
    device(tmp_path, 0, 3 * limit_kib, limit_kib - 4096, limit_kib, 900_000)
    named = {"sys_block": str(tmp_path / "block"), "zram_stat": str(tmp_path / "block/zram0/mm_stat")}
    bench = Bench(tmp_path, FakePort(), store_own=True, **named)
    bench.turn()
    assert [path for path, _ in bench.port.limits] == [str(tmp_path / "block/zram0/mem_limit")]
    assert bench.records("store_limit")[0]["to_kib"] > limit_kib
    close(bench.exchange)
