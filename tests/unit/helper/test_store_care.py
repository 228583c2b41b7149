"""Care of the store: it follows the device that is the store now, and leaves others' devices and dry runs alone."""

from __future__ import annotations

import select
from pathlib import Path

import pytest

from lmkd.guard.exchange import Exchange
from lmkd.helper.store_care import StoreCare
from lmkd.kernel.swap import page_bytes, swap_header
from lmkd.plan import Writeback
from tests.unit.guard.test_exchange import close
from tests.unit.plans import make_plan

ALLOWED = Writeback(huge=True, idle=False, idle_s=600, daily_kib=20_000, recompress="", folders=())
SWAPS = "Filename Type Size Used Priority\n"


class Bench:
    """Two devices, of which the test says which is swap and whose it is."""

    def __init__(self, base: Path, own: int, dry_run: bool = False) -> None:
        self.base = base
        (base / "proc").mkdir()
        (base / "dev").mkdir()
        for number in (0, 1):
            folder = base / "block" / f"zram{number}"
            folder.mkdir(parents=True)
            (folder / "mm_stat").write_text("90000000 10000000 30000000 0 0 0 0\n")
            (folder / "bd_stat").write_text("0 0 0\n")
            for name in ("compact", "writeback", "writeback_limit", "writeback_limit_enable"):
                (folder / name).write_text("")
            label = "lmkd" if number == own else "other"
            (base / "dev" / f"zram{number}").write_bytes(swap_header(page_bytes(), 4096, bytes(16), label))
        self.swap_is("/dev/zram0 partition 1000 0 100")
        self.exchange = Exchange()
        plan = make_plan(
            base, sys_block=str(base / "block"), dev=str(base / "dev"), writeback=ALLOWED, dry_run=dry_run,
            zram_stat=str(base / "block" / "zram0" / "mm_stat"),
        )  # fmt: skip
        self.events: list[str] = []
        self.care = StoreCare(plan, lambda event, _fields, _level: self.events.append(event), self.exchange)

    def swap_is(self, *lines: str) -> None:
        (self.base / "proc" / "swaps").write_text(SWAPS + "".join(f"{line}\n" for line in lines))

    def changed(self) -> None:
        self.care.notice({self.care._swaps.descriptor: select.POLLPRI | select.POLLERR})

    def said(self, number: int, name: str) -> str:
        return (self.base / "block" / f"zram{number}" / name).read_text()


@pytest.mark.parametrize("own", [0, 1])
def test_it_compacts_the_device_that_is_the_store_now(tmp_path: Path, own: int) -> None:
    bench = Bench(tmp_path, own)
    bench.swap_is("/dev/zram0 partition 1000 0 100", "/dev/zram1 partition 1000 0 99")
    bench.changed()
    assert bench.events == ["store_changed"]
    bench.care.compact()
    assert [bench.said(number, "compact") for number in (0, 1)] == ["1" if number == own else "" for number in (0, 1)]
    assert not bench.exchange.store_busy()
    close(bench.exchange)


def test_another_wake_up_is_no_reason_to_look(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 0)
    bench.swap_is()
    bench.care.notice({99: select.POLLIN})
    assert bench.events == []
    told = bench.exchange.stores()
    assert told is not None and told[1:] == ((0,), 0)
    close(bench.exchange)


def test_it_writes_back_from_its_own_device_alone(tmp_path: Path) -> None:
    for own, said in ((0, "huge"), (1, "")):
        base = tmp_path / str(own)
        base.mkdir()
        bench = Bench(base, own)
        bench.care.tend(True)
        bench.care.turn()
        assert bench.said(0, "writeback") == said
        bench.care.close()
        close(bench.exchange)


def test_told_to_stop_it_stops_and_a_store_that_is_gone_ends_it_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 0)
    bench.care.tend(True)
    bench.care.tend(False)
    assert bench.care.timeout_ms() is None
    bench.care.tend(True)
    bench.swap_is()
    bench.changed()
    assert bench.care.timeout_ms() is None
    bench.care.turn()
    assert bench.said(0, "writeback") == ""
    close(bench.exchange)


def test_in_a_dry_run_it_only_watches(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 0, dry_run=True)
    bench.care.tend(True)
    bench.care.turn()
    bench.swap_is()
    bench.changed()
    assert (bench.said(0, "writeback"), bench.events) == ("", ["store_changed"])
    close(bench.exchange)


@pytest.mark.parametrize(
    ("pool", "packs"), [("zbud\n", False), ("z3fold\n", True), ("zsmalloc\n", True), (None, True)]
)
def test_it_knows_which_pools_of_zswap_pack_by_size(tmp_path: Path, pool: str | None, packs: bool) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "swaps").write_text(SWAPS)
    (tmp_path / "max_pool_percent").write_text("30\n")
    if pool is not None:
        (tmp_path / "zpool").write_text(pool)
    plan = make_plan(tmp_path, zswap_limit=str(tmp_path / "max_pool_percent"))
    care = StoreCare(plan, lambda *_: None)
    assert care.packs is packs
    care.close()


def test_it_tells_the_algorithm_of_the_store(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 0)
    assert bench.care.algorithm() == ""
    (tmp_path / "block" / "zram0" / "comp_algorithm").write_text("lzo lzo-rle lz4 [zstd] 842 \n")
    assert bench.care.algorithm() == "zstd"
