"""The zswap store: made, adopted, taken down, and finished or undone after a crash at any of its steps."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from lmkd.errors import StoreError
from lmkd.kernel.swap import page_bytes
from lmkd.store import stores, zswap_store
from lmkd.store.dry_run_devices import DryRunDeviceEffects
from lmkd.store.zswap_find import note_path
from lmkd.store.zswap_parameters import kept_path
from lmkd.store.zswap_store import bring_up, pool_percent, status, take_down
from lmkd.values import replace
from tests.unit.store.fakes import SPEC, Crash, Reports, header_of, refusal
from tests.unit.store.zswap_fakes import PARAMETERS, ZSWAP_SPEC, FakeDevices, ZswapBoard

SECTORS = page_bytes() // 512
WHOLE = ZSWAP_SPEC.size_kib * 2
TAKEN = "mapped over a zram that is added"
KINDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "mapped over zram": (1, ()), TAKEN: (1, ()), "mapped over loop": (0, ("zram",)), "closed zram": (1, ("mapper",)),
}  # fmt: skip
"""Zram devices that there are, and what the kernel lacks."""


@pytest.fixture
def board(tmp_path: Path) -> ZswapBoard:
    """A board with everything."""
    return ZswapBoard(tmp_path)


def made(tmp_path: Path, kind: str) -> ZswapBoard:
    board = ZswapBoard(tmp_path, *KINDS[kind])
    if kind == TAKEN:
        board.size(0, 4096, b"somebody's file system")
    return board


def effects_of(board: ZswapBoard) -> int:
    """How many effects it takes to bring the store up."""
    port = FakeDevices(board)
    bring_up(board.roots, ZSWAP_SPEC, Reports(), port)
    return port.count


def test_a_store_is_made_noted_before_each_change_and_zswap_is_on_before_swap(board: ZswapBoard) -> None:
    port, reports = FakeDevices(board), Reports()
    state = bring_up(board.roots, ZSWAP_SPEC, reports, port)
    steps = [line for line in port.log if not line.startswith(("save", "sysctl", "remove"))]
    assert steps == [
        "modprobe dm-mod", "node 0", f"disksize 0 {page_bytes()}", "map_create lmkd-swap",
        f"map_load 0 {SECTORS} linear 253:0 0 ; {SECTORS} {WHOLE - SECTORS} error ", "map_resume lmkd-swap",
        "node dm-0", "header dm-0", "zswap max_pool_percent 36", "zswap accept_threshold_percent 100",
        "zswap zpool zsmalloc", "zswap compressor lz4", "zswap enabled Y", "swapon dm-0 100",
    ]  # fmt: skip
    assert port.log.index("save zswap-store.json") < port.log.index("node 0")
    assert (state.kind, state.device, state.algorithm, state.pool) == ("zswap", "dm-0", "lz4", "zsmalloc")
    assert (state.backing, state.size_kib) == ("device-mapper over zram0", ZSWAP_SPEC.size_kib - page_bytes() // 1024)
    assert (state.mem_limit_kib, state.adopted) == (241012 * 36 // 100, False)
    assert reports.of("store_up")["pool"] == "zsmalloc"
    assert json.loads(note_path(board.roots).read_text())["phase"] == "up"


def test_without_zram_a_loop_device_holds_the_header(tmp_path: Path) -> None:
    board = made(tmp_path, "mapped over loop")
    state = bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    assert state.backing == "device-mapper over loop0"
    assert (board.roots.run / "swap-header").stat().st_size == page_bytes()


def test_without_device_mapper_a_zram_that_takes_no_page_stands_behind(tmp_path: Path) -> None:
    board = made(tmp_path, "closed zram")
    reports = Reports()
    state = bring_up(board.roots, ZSWAP_SPEC, reports, FakeDevices(board))
    assert (state.device, state.backing) == ("zram0", "closed zram")
    assert reports.of("degraded")["feature"] == "device-mapper"


def test_a_kernel_that_loses_pages_between_zswap_and_zram_is_not_trusted_with_them(tmp_path: Path) -> None:
    board = made(tmp_path, "closed zram")
    with pytest.raises(StoreError, match=r"6\.8\.0-45 may lose pages"):
        zswap_store._require_safe(board.roots, "6.8.0-45")
    for release in ("6.1.0-50-armmp", "6.12.3", "6.80.1"):
        zswap_store._require_safe(board.roots, release)
    board.parameter("exclusive_loads", "Y")
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    assert board.parameters()["exclusive_loads"] == "N"


def test_where_that_cannot_be_switched_off_nothing_is_left(tmp_path: Path) -> None:
    class Stubborn(FakeDevices):
        def set_zswap(self, name: str, text: str) -> None:
            if name == "exclusive_loads":
                raise refusal(errno.EPERM, name)
            super().set_zswap(name, text)

    board = made(tmp_path, "closed zram")
    board.parameter("exclusive_loads", "Y")
    before = board.left()
    with pytest.raises(StoreError, match="exclusive_loads"):
        bring_up(board.roots, ZSWAP_SPEC, Reports(), Stubborn(board))
    assert board.left() == before


@pytest.mark.parametrize("kind", KINDS)
def test_down_leaves_everything_as_it_was(tmp_path: Path, kind: str) -> None:
    board = made(tmp_path, kind)
    before = board.left()
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    assert board.left() != before
    take_down(board.roots, Reports(), effects=FakeDevices(board))
    assert board.left() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_at_any_step_of_the_way_up_is_finished_by_the_next_start_and_undone_by_down(
    tmp_path: Path, kind: str
) -> None:
    steps = effects_of(made(tmp_path / "count", kind))
    for step in range(steps):
        board = made(tmp_path / str(step), kind)
        before = board.left()
        with pytest.raises(Crash):
            bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board, step))
        state = stores.bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
        assert (state.kind, state.algorithm, state.pool) == ("zswap", "lz4", "zsmalloc"), step
        assert len(board.swap_names()) == 1, step
        assert board.parameters()["max_pool_percent"] == "36", step
        stores.take_down(board.roots, Reports(), effects=FakeDevices(board))
        assert board.left() == before, step


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_at_any_step_of_the_way_up_is_undone_by_down_alone(tmp_path: Path, kind: str) -> None:
    steps = effects_of(made(tmp_path / "count", kind))
    for step in range(steps):
        board = made(tmp_path / str(step), kind)
        before = board.left()
        with pytest.raises(Crash):
            bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board, step))
        stores.take_down(board.roots, Reports(), effects=FakeDevices(board))
        assert board.left() == before, step


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_at_any_step_of_the_way_down_is_finished_by_down_or_by_the_next_start(
    tmp_path: Path, kind: str
) -> None:
    first = made(tmp_path / "count", kind)
    bring_up(first.roots, ZSWAP_SPEC, Reports(), FakeDevices(first))
    count = FakeDevices(first)
    take_down(first.roots, Reports(), effects=count)
    for step in range(count.count):
        board = made(tmp_path / str(step), kind)
        before = board.left()
        bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
        with pytest.raises(Crash):
            take_down(board.roots, Reports(), effects=FakeDevices(board, step))
        if step % 2:
            assert stores.bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board)).kind == "zswap", step
            assert board.parameters()["enabled"] == "Y", step
        stores.take_down(board.roots, Reports(), effects=FakeDevices(board))
        assert board.left() == before, step


def test_after_a_crash_another_kind_finds_nothing_in_its_way(tmp_path: Path) -> None:
    steps = effects_of(made(tmp_path / "count", "mapped over zram"))
    for step in range(steps):
        board = made(tmp_path / str(step), "mapped over zram")
        with pytest.raises(Crash):
            bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board, step))
        was_up = bool(board.swap_names())
        state = stores.bring_up(board.roots, SPEC, Reports(), FakeDevices(board))
        assert state.kind == ("zswap" if was_up else "zram"), step
        assert was_up or board.parameters() == PARAMETERS, step


@pytest.mark.parametrize(
    "point", ["node", "disksize", "map_create", "map_load", "map_resume", "header", "swapon", "save"]
)
def test_a_failure_leaves_nothing_behind_and_is_told(board: ZswapBoard, point: str) -> None:
    before = board.left()
    port = FakeDevices(board)
    port.fail_at[point] = refusal(errno.ENOMEM, point)
    with pytest.raises(StoreError, match="ENOMEM"):
        bring_up(board.roots, ZSWAP_SPEC, Reports(), port)
    assert board.left() == before


def test_a_store_that_is_up_is_adopted_with_a_changed_limit_and_not_touched_otherwise(board: ZswapBoard) -> None:
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    port, reports = FakeDevices(board), Reports()
    state = bring_up(board.roots, replace(ZSWAP_SPEC, mem_limit_kib=241012 // 2), reports, port)
    assert [line for line in port.log if not line.startswith("save")] == ["zswap max_pool_percent 59"]
    assert (state.adopted, reports.of("store_adopted")["device"]) == (True, "dm-0")
    take_down(board.roots, Reports(), effects=FakeDevices(board))
    assert board.parameters() == PARAMETERS


def test_zswap_that_somebody_switched_off_is_on_again_after_a_start(board: ZswapBoard) -> None:
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    board.parameter("enabled", "N")
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    assert board.parameters()["enabled"] == "Y"


def test_a_parameter_that_somebody_else_changed_is_left_to_him(board: ZswapBoard) -> None:
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    board.parameter("max_pool_percent", "50")
    reports = Reports()
    take_down(board.roots, reports, effects=FakeDevices(board))
    assert board.parameters() == {**PARAMETERS, "max_pool_percent": "50"}
    assert reports.of("zswap_left")["now"] == "50"


def test_the_writeback_switch_of_later_kernels_goes_off_and_comes_back(board: ZswapBoard) -> None:
    switch = board.roots.sys / "fs" / "cgroup" / "memory.zswap.writeback"
    board.put(switch, "1\n")
    board.parameter("shrinker_enabled", "Y")
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    assert (switch.read_text(), board.parameters()["shrinker_enabled"]) == ("0", "N")
    take_down(board.roots, Reports(), effects=FakeDevices(board))
    assert (switch.read_text(), board.parameters()["shrinker_enabled"]) == ("1", "Y")


def test_with_swap_of_somebody_elses_the_switch_stays_as_it_is(board: ZswapBoard) -> None:
    switch = board.roots.sys / "fs" / "cgroup" / "memory.zswap.writeback"
    board.put(switch, "1\n")
    board.swap_line("mmcblk0p3", 65536, priority=-2)
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    assert switch.read_text() == "1\n"


@pytest.mark.parametrize("lazy", [False, True])
def test_what_the_kernel_lacks_is_replaced_and_reported(board: ZswapBoard, lazy: bool) -> None:
    board.pools = ("zbud",)
    board.compressors = ("lzo", "zstd")
    port, reports = FakeDevices(board), Reports()
    port.lazy = lazy
    state = bring_up(board.roots, replace(ZSWAP_SPEC, pool="z3fold", algorithm="lz4"), reports, port)
    assert (state.pool, state.algorithm) == ("zbud", "lzo")
    told = {fields["feature"]: fields["reason"] for name, fields in reports.events if name == "degraded"}
    assert told == {
        "zswap zpool": "in force is zbud, not z3fold", "zswap compressor": "in force is lzo, not lz4",
    }  # fmt: skip


@pytest.mark.parametrize(("algorithm", "in_force"), [("auto", "zstd"), ("lzo", "lzo")])
def test_auto_is_what_a_trial_on_this_board_picked(board: ZswapBoard, algorithm: str, in_force: str) -> None:
    board.compressors = ("lz4", "lzo", "zstd")
    spec = replace(ZSWAP_SPEC, algorithm=algorithm, preferred="zstd")
    assert bring_up(board.roots, spec, Reports(), FakeDevices(board)).algorithm == in_force


def test_a_pick_that_this_kernel_lacks_is_no_loss(board: ZswapBoard) -> None:
    board.compressors = ("lz4",)
    reports = Reports()
    state = bring_up(board.roots, replace(ZSWAP_SPEC, preferred="zstd"), reports, FakeDevices(board))
    assert state.algorithm == "lz4" and "degraded" not in reports.names()


def test_a_kernel_with_one_allocator_only_is_fine_unless_another_is_wanted(board: ZswapBoard) -> None:
    (board.roots.sys / "module" / "zswap" / "parameters" / "zpool").unlink()
    reports = Reports()
    assert bring_up(board.roots, ZSWAP_SPEC, reports, FakeDevices(board)).pool is None
    assert "degraded" not in reports.names()
    reports = Reports()
    bring_up(board.roots, replace(ZSWAP_SPEC, pool="zbud"), reports, FakeDevices(board))
    assert reports.of("degraded")["reason"] == "this kernel does not have it"


def test_zswap_that_cannot_be_switched_on_is_an_error_that_leaves_nothing(board: ZswapBoard) -> None:
    before = board.left()

    class Broken(FakeDevices):
        def set_zswap(self, name: str, text: str) -> None:
            if name == "enabled":
                raise refusal(errno.ENODEV, name)
            super().set_zswap(name, text)

    with pytest.raises(StoreError, match="cannot be switched on"):
        bring_up(board.roots, ZSWAP_SPEC, Reports(), Broken(board))
    assert board.left() == before


def test_down_is_refused_while_the_stored_pages_would_not_fit(board: ZswapBoard) -> None:
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    board.stored(65536, 20000, 65536, available_kib=40000)
    port = FakeDevices(board)
    with pytest.raises(StoreError, match="65536 KiB are stored"):
        take_down(board.roots, Reports(), effects=port)
    assert port.log == []
    take_down(board.roots, Reports(), force=True, effects=FakeDevices(board))
    assert board.swap_names() == []


def test_pages_whose_write_failed_are_in_memory_already_and_need_no_room(board: ZswapBoard) -> None:
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    board.stored(10000, 4000, 90000, cached_kib=80000, available_kib=30000)
    take_down(board.roots, Reports(), effects=FakeDevices(board))
    assert board.swap_names() == []


def test_a_swapoff_that_the_kernel_refuses_leaves_the_store_up(board: ZswapBoard) -> None:
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    port = FakeDevices(board)
    port.fail_at["swapoff"] = refusal(errno.ENOMEM, "swapoff")
    with pytest.raises(StoreError, match="ENOMEM"):
        take_down(board.roots, Reports(), effects=port)
    assert status(board.roots).device == "dm-0"
    assert board.parameters()["enabled"] == "Y"
    assert json.loads(note_path(board.roots).read_text())["phase"] == "up"


def test_the_dry_run_notes_it_all_and_touches_nothing(board: ZswapBoard, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    port = DryRunDeviceEffects(board.roots)
    state = stores.bring_up(board.roots, ZSWAP_SPEC, Reports(), port)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (state.kind, state.device, state.pool, state.algorithm) == ("zswap", "dm-0", "zsmalloc", "lz4")
    assert "swapon dm-0 with priority 100" in port.actions
    assert f"give lmkd-swap the table 0 {SECTORS} linear 253:0 0 ; {SECTORS} {WHOLE - SECTORS} error" in port.actions


def test_a_hostile_note_points_nowhere(board: ZswapBoard) -> None:
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    text = json.loads(note_path(board.roots).read_text())
    board.put(note_path(board.roots), json.dumps({**text, "header": "../../etc"}))
    rows = [{"name": "../../../../proc/sys/kernel/core_pattern", "old": "x", "set_to": ""}, {"name": 3}, 7]
    kept = json.loads(kept_path(board.roots).read_text())
    board.put(kept_path(board.roots), json.dumps({**kept, "kept": rows}))
    reports = Reports()
    take_down(board.roots, reports, effects=FakeDevices(board))
    assert board.swap_names() == []
    assert reports.of("degraded")["cost"] == "the old value is not back"


@pytest.mark.parametrize(
    ("limit_kib", "percent"), [(72303, 36), (241012 // 2, 59), (1024, 1), (241012, 90), (None, 90)]
)
def test_the_kernels_limit_lies_above_the_one_that_applications_are_ended_at(
    limit_kib: int | None, percent: int
) -> None:
    assert pool_percent(limit_kib, 241012) == percent
    if limit_kib is not None and percent < 90:
        assert 241012 * percent // 100 * 85 // 100 >= limit_kib - 1


def test_one_store_is_enough_whatever_its_kind(board: ZswapBoard) -> None:
    bring_up(board.roots, ZSWAP_SPEC, Reports(), FakeDevices(board))
    port, reports = FakeDevices(board), Reports()
    assert stores.bring_up(board.roots, SPEC, reports, port).kind == "zswap"
    assert reports.of("degraded")["feature"] == "store.kind"
    assert [line for line in port.log if not line.startswith("save")] == []
    assert stores.status(board.roots).kind == "zswap"


def test_a_zram_that_is_up_is_used_although_zswap_is_wanted(board: ZswapBoard) -> None:
    board.size(0, 131072, header_of("zram0"))
    board.swap_on(0, 131068)
    reports = Reports()
    state = stores.bring_up(board.roots, ZSWAP_SPEC, reports, FakeDevices(board))
    assert (state.kind, state.foreign) == ("zram", True)
    assert reports.of("degraded")["cost"] == "the zram store that is up is used as it is"
    assert board.parameters() == PARAMETERS


def test_without_zswap_the_store_is_zram(board: ZswapBoard) -> None:
    for path in (board.roots.sys / "module" / "zswap" / "parameters").iterdir():
        path.unlink()
    (board.roots.sys / "module" / "zswap" / "parameters").rmdir()
    reports = Reports()
    assert stores.bring_up(board.roots, ZSWAP_SPEC, reports, FakeDevices(board)).kind == "zram"
    assert "zswap is not in this kernel" in str(reports.of("degraded")["reason"])
    stores.take_down(board.roots, Reports(), effects=FakeDevices(board))
    assert stores.status(board.roots).kind == "none"


def test_a_kernel_that_does_not_tell_what_zswap_holds_gets_zram(board: ZswapBoard) -> None:
    board.put(board.roots.proc / "meminfo", "MemTotal: 241012 kB\nMemAvailable: 150000 kB\n")
    reports = Reports()
    assert stores.bring_up(board.roots, ZSWAP_SPEC, reports, FakeDevices(board)).kind == "zram"
    assert "Linux 5.19" in str(reports.of("degraded")["reason"])


@pytest.mark.parametrize("on", [False, True])
def test_zswap_that_somebody_set_in_front_of_zram_is_told(board: ZswapBoard, on: bool) -> None:
    board.parameter("enabled", "Y" if on else "N")
    reports = Reports()
    assert stores.bring_up(board.roots, SPEC, reports, FakeDevices(board)).kind == "zram"
    assert ("degraded" in reports.names()) is on
    assert not on or "compressed twice" in str(reports.of("degraded")["cost"])
