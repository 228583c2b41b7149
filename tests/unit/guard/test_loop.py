"""Observation and the loop over a fake /proc, with a port that only keeps what it is asked to do."""

from __future__ import annotations

import json
import math
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkd.errors import KernelInterfaceError
from lmkd.guard.act import Handle
from lmkd.guard.commands import (
    CLEAN,
    EXPLAIN,
    FREEZE,
    KILLED,
    REFRESH_URGENT,
    RENICE,
    START_BITS,
    TEND,
    TEND_LOOK,
    TEND_SHORT,
    THAW,
    TRIM,
    command_of,
)
from lmkd.guard.exchange import Exchange
from lmkd.guard.loop import Guard
from lmkd.guard.observe import Observer
from lmkd.guard.record import Recorder
from lmkd.guard.rehearse import rehearse
from lmkd.held import Clean, Explain, Tend
from lmkd.kernel.clock import now_ms
from lmkd.model import Freeze, Kill, Refresh, Renice, Thaw, Trim, Victim
from lmkd.plan import Plan
from tests.unit.guard.test_exchange import close
from tests.unit.kernel.test_meminfo import BOARD
from tests.unit.plans import FakeProc, make_candidate, make_plan


class FakePort:
    """Victims that die when the test writes to their pipe."""

    def __init__(self, refusal: str = "", gone: bool = False) -> None:
        self.refusal, self.gone = refusal, gone
        self.nice = 0
        self.signals: list[tuple[int, str]] = []
        self.deaths: dict[int, int] = {}
        self.open_handles = 0
        self.hastened: list[int] = []
        self.signals_first: list[int] = []
        """How many signals had been sent each time."""
        self.limits: list[tuple[str, int]] = []

    def open(self, victim: Victim) -> Handle | None:
        if self.gone:
            return None
        reader, self.deaths[victim.pid] = os.pipe()
        self.open_handles += 1
        return Handle(victim.pid, victim.start_ticks, reader)

    def signal(self, handle: Handle, signal: str) -> str:
        self.signals.append((handle.pid, signal))
        return self.refusal

    def release(self, handle: Handle) -> str:
        return "released"

    def hasten(self, pid: int) -> None:
        self.hastened.append(pid)
        self.signals_first.append(len(self.signals))

    def limit(self, path: str, kib: int) -> str:
        self.limits.append((path, kib))
        return self.refusal

    def alive(self, handle: Handle) -> bool:
        return True

    def close(self, handle: Handle) -> None:
        os.close(handle.descriptor)
        os.close(self.deaths.pop(handle.pid))
        self.open_handles -= 1


class Bench:
    """A guard over a fake board."""

    def __init__(self, base: Path, port: FakePort, **changes: Any) -> None:
        self.proc = FakeProc(base)
        self.memory(90000)
        (self.proc.root / "vmstat").write_bytes(b"nr 1\nworkingset_refault_anon 3\nworkingset_refault_file 4\n")
        (self.proc.root / "pressure").mkdir()
        (self.proc.root / "pressure" / "memory").write_bytes(b"some avg10=0 total=1\nfull avg10=0 total=2\n")
        self.plan: Plan = make_plan(base, **changes)
        self.port = port
        self.exchange = Exchange()
        self.guard = Guard(
            self.plan, Observer(self.plan, None), port, Recorder(self.exchange), self.exchange, None
        )

    def memory(self, free_kib: int, file_kib: int = 71300) -> None:
        data = BOARD.replace(b"91540", b"%d" % (free_kib + 14336)).replace(b"71300", b"%d" % file_kib)
        path = self.proc.root / "meminfo"
        path.write_bytes(data.replace(b"118044", b"0").replace(b"117788", b"0").replace(b"13756", b"0"))

    def turn(self) -> list[str]:
        self.guard.show()
        return self.guard.turn()

    def records(self, event: str) -> list[dict[str, Any]]:
        records = [json.loads(line) for line in self.exchange.records_since(0)[0]]
        return [record for record in records if record["event"] == event]


@pytest.fixture
def benches(tmp_path: Path) -> Iterator[Any]:
    made: list[Bench] = []

    def make(port: FakePort | None = None, **changes: Any) -> Bench:
        made.append(Bench(tmp_path, port or FakePort(), **changes))
        return made[-1]

    yield make
    for bench in made:
        close(bench.exchange)


def test_a_sample_says_what_the_kernel_says(benches: Any) -> None:
    bench = benches()
    sample = Observer(bench.plan, None).sample("timer", calm=False)
    assert (sample.free_kib, sample.some_us, sample.full_us) == (90000, 1, 2)
    assert (sample.refault_anon, sample.refault_file) == (3, 4)
    assert (sample.swapped_in, sample.swapped_out) == (None, None)
    assert (sample.store, sample.grower_pid, sample.gone) == (None, None, ())


def test_a_zswap_store_is_read_from_meminfo_and_its_limit_from_the_kernel(benches: Any, tmp_path: Path) -> None:
    (tmp_path / "percent").write_text("50\n")
    bench = benches(zswap_limit=str(tmp_path / "percent"), store_kind="zswap")
    with (bench.proc.root / "meminfo").open("ab") as stream:
        stream.write(b"Zswap: 1000 kB\nZswapped: 3000 kB\n")
    store = Observer(bench.plan, None).sample("timer", calm=True).store
    assert store is not None and (store.orig_kib, store.used_kib, store.full_kib) == (3000, 1000, 236092 // 2)


def test_what_goes_to_the_store_and_comes_back_counts_whichever_takes_it(benches: Any) -> None:
    bench = benches()
    with (bench.proc.root / "vmstat").open("ab") as stream:
        stream.write(b"pswpin 5\npswpout 6\nzswpin 70\n")
    sample = Observer(bench.plan, None).sample("timer", calm=False)
    assert (sample.swapped_in, sample.swapped_out) == (75, 6)


@pytest.mark.parametrize(("free_kib", "refused"), [(90_000, None), (500, 77)])
def test_what_zswap_refuses_is_looked_at_in_calm_too_once_the_kernel_reclaims(
    benches: Any, tmp_path: Path, free_kib: int, refused: int | None
) -> None:
    (tmp_path / "percent").write_text("50\n")
    bench = benches(zswap_limit=str(tmp_path / "percent"), store_kind="zswap")
    bench.memory(free_kib)
    with (bench.proc.root / "vmstat").open("ab") as stream:
        stream.write(b"pswpout 77\n")
    assert Observer(bench.plan, None).sample("timer", calm=True).refused == refused
    assert Observer(bench.plan, None).sample("timer", calm=False).refused == 77


def test_with_zram_nothing_of_that_is_read(benches: Any) -> None:
    bench = benches()
    with (bench.proc.root / "vmstat").open("ab") as stream:
        stream.write(b"pswpout 77\n")
    assert Observer(bench.plan, None).sample("timer", calm=False).refused is None


def test_what_the_kernel_does_not_tell_is_none_and_never_zero(benches: Any) -> None:
    bench = benches(zram_stat="/nonexistent/mm_stat")
    (bench.proc.root / "pressure" / "memory").write_bytes(b"some avg10=0 total=1\n")
    (bench.proc.root / "vmstat").write_bytes(b"")
    sample = Observer(bench.plan, None).sample("timer", calm=False)
    assert (sample.some_us, sample.full_us, sample.refault_anon, sample.store) == (None, None, None, None)


@pytest.mark.parametrize("content", [b"", b"MemTotal: 1 kB\n"])
def test_without_meminfo_there_is_no_sample(benches: Any, content: bytes) -> None:
    bench = benches()
    (bench.proc.root / "meminfo").write_bytes(content)
    with pytest.raises(KernelInterfaceError):
        Observer(bench.plan, None).sample("timer", calm=True)


def test_with_room_to_spare_nobody_dies_and_the_status_says_so(benches: Any) -> None:
    bench = benches()
    bench.exchange.publish([make_candidate(10)], 1.0)
    assert bench.turn() == ["timer"]
    assert bench.port.signals == []
    status = json.loads(bench.exchange.read_status())
    assert status["level"] == "calm" and isinstance(status["records"], dict) and status["killed"] == {}


def test_who_waits_for_the_level_does_not_wait_for_the_status(benches: Any) -> None:
    bench = benches()
    for free_kib, level, wait_ms in ((60000, "low", 100.0), (30000, "moderate", math.inf)):
        bench.memory(free_kib, 0)
        before = bench.exchange.read_status()
        bench.turn()
        assert bench.guard.state.level == level
        assert bench.exchange.read_status() == before
        assert bench.guard._due_ms <= now_ms() + wait_ms
        bench.turn()
        assert json.loads(bench.exchange.read_status())["level"] == level


def test_without_memory_and_without_a_table_the_guard_lives(benches: Any) -> None:
    bench = benches()
    bench.memory(0, 0)
    bench.turn()
    assert [record["reason"] for record in bench.records("refusal")]


def test_a_victim_is_signalled_held_and_let_go_when_it_dies(benches: Any) -> None:
    bench = benches()
    bench.exchange.publish([make_candidate(10, gain_kib=50000), make_candidate(11, 0)], 1.0)
    bench.memory(0, 0)
    bench.turn()
    assert bench.port.signals == [(10, "SIGKILL")]
    [record] = bench.records("kill")
    assert (record["pid"], record["rule"], record["dry_run"]) == (10, "own oom_score_adj", False)
    assert bench.port.open_handles == 1
    os.write(bench.port.deaths[10], b"x")
    bench.memory(60000)
    assert "death" in bench.turn()
    assert bench.port.open_handles == 0


def test_a_victim_that_somebody_has_reaped_is_dead_too(benches: Any) -> None:
    """Its pidfd may then report a hang-up, which a pipe without a writer does as well (Linux 6.9, pidfd_poll)."""
    bench = benches()
    bench.exchange.publish([make_candidate(10, gain_kib=50000), make_candidate(11, 0)], 1.0)
    bench.memory(0, 0)
    bench.turn()
    os.close(bench.port.deaths[10])
    bench.port.deaths[10] = os.open(os.devnull, os.O_WRONLY)  # for the port to close
    bench.memory(60000)
    assert "death" in bench.turn()
    assert bench.port.open_handles == 0


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_helper_is_told_whom_we_ended_unless_we_only_say_so(benches: Any, dry_run: bool) -> None:
    bench = benches(dry_run=dry_run)
    bench.exchange.publish([make_candidate(10, gain_kib=50000)], 1.0)
    bench.memory(0, 0)
    bench.turn()
    told = [(operation, pid) for operation, pid, _ in bench.exchange.commands() if operation == KILLED]
    assert told == ([] if dry_run else [(KILLED, 10)])
    os.write(bench.port.deaths[10], b"x")
    bench.turn()


def test_victims_are_hastened_once_all_are_signalled_and_the_helper_with_them(benches: Any) -> None:
    port = FakePort()
    bench = benches(port)
    victims = tuple(Victim(pid, 100 + pid, f"app{pid}", 900, -1, 50000) for pid in (10, 11))
    bench.guard._perform(Kill(victims, "SIGKILL", "a reason", ()), 0.0)
    assert port.hastened == [10, 11] and port.signals_first == [2, 2]
    bench.guard.helper = 7
    bench.guard._perform(Kill((Victim(12, 112, "app12", 900, -1, 1),), "SIGTERM", "a reason", ()), 0.0)
    assert port.hastened == [10, 11, 7, 12]
    for pid in (10, 11, 12):
        os.write(port.deaths[pid], b"x")
    bench.turn()


@pytest.mark.parametrize(("free_kib", "hastened"), [(40_000, []), (500, [7])])
def test_where_a_crowd_reclaims_the_helper_is_hastened_to_tell_the_level(
    benches: Any, free_kib: int, hastened: list[int]
) -> None:
    bench = benches()
    bench.guard.helper = 7
    bench.turn()
    bench.memory(free_kib, 40_000 if free_kib < 2048 else 0)
    bench.turn()
    assert bench.guard.state.level != "calm" and bench.port.hastened == hastened


def test_a_decision_hastens_its_victim_and_nobody_else(benches: Any) -> None:
    bench = benches()
    bench.exchange.publish([make_candidate(10, gain_kib=50000), make_candidate(11, 0)], 1.0)
    bench.turn()
    assert bench.port.hastened == []
    bench.memory(0, 0)
    bench.turn()
    assert bench.port.hastened == [10]
    os.write(bench.port.deaths[10], b"x")
    bench.turn()


def test_one_that_is_gone_is_not_hastened(benches: Any) -> None:
    bench = benches(FakePort(gone=True))
    bench.guard._perform(Kill((Victim(10, 110, "app10", 900, -1, 1),), "SIGKILL", "a reason", ()), 0.0)
    assert bench.port.hastened == []


def test_what_is_the_helpers_becomes_a_command() -> None:
    assert command_of(Refresh(True)) == (REFRESH_URGENT, 0, 0)
    assert command_of(Trim(4096)) == (TRIM, 0, 4096)
    assert command_of(Freeze(10, 77, 5000)) == (FREEZE, 10, 77 | 5000 << START_BITS)
    assert command_of(Renice(10, 77, 1500)) == (RENICE, 10, 77 | 1500 << START_BITS)
    assert command_of(Thaw(10)) == (THAW, 10, 0)
    assert command_of(Explain(9)) == (EXPLAIN, 0, 9)
    assert command_of(Clean(9)) == (CLEAN, 0, 9)
    assert command_of(Tend(True)) == (TEND, 0, TEND_LOOK | TEND_SHORT)
    assert command_of(Tend(False, look=False)) == (TEND, 0, 0)


@given(st.integers(2, 2**31 - 1), st.integers(0, 2**START_BITS - 1), st.integers(1, 2 ** (64 - START_BITS) - 1))
@settings(max_examples=30)
def test_start_time_and_milliseconds_arrive_apart_from_each_other(pid: int, start: int, ms: int) -> None:
    exchange = Exchange()
    try:
        for action, operation in ((Renice(pid, start, ms), RENICE), (Freeze(pid, start, ms), FREEZE)):
            assert exchange.ask(*command_of(action))
            [(told, whom, argument)] = exchange.commands()
            assert (told, whom) == (operation, pid)
            assert (argument & ((1 << START_BITS) - 1), argument >> START_BITS) == (start, ms)
    finally:
        close(exchange)


@pytest.mark.parametrize("port", [FakePort(refusal="SIGKILL to 10: Operation not permitted"), FakePort(gone=True)])
def test_a_refusal_is_a_record_and_does_not_repeat_without_end(benches: Any, port: FakePort) -> None:
    bench = benches(port)
    bench.exchange.publish([make_candidate(10, gain_kib=50000)], 1.0)
    bench.memory(0, 0)
    for _ in range(20):
        bench.turn()
    assert port.open_handles == 0
    assert 1 <= len([record for record in bench.records("refusal") if record.get("pid") == 10]) <= 3


def test_meminfo_that_fails_is_reported_and_not_too_often(benches: Any) -> None:
    bench = benches()
    (bench.proc.root / "meminfo").write_bytes(b"")
    for _ in range(5):
        bench.turn()
    assert [record["feature"] for record in bench.records("degraded")] == ["meminfo"]


def test_the_rehearsal_leaves_nothing_behind(benches: Any) -> None:
    bench = benches(proc="/proc")
    observer = Observer(bench.plan, None)
    before = os.listdir("/proc/self/fd")
    rehearse(bench.plan, bench.exchange, observer)
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert bench.exchange.records_since(0) == ([], 0)


def test_a_source_that_was_dropped_wakes_nobody(benches: Any) -> None:
    bench = benches()
    reader, writer = os.pipe()
    bench.guard.add_source(reader, "helper", select.EPOLLIN)
    os.write(writer, b"x")
    assert bench.turn() == ["helper"]
    bench.guard.drop_source(reader)
    bench.guard.drop_source(reader)
    assert bench.turn() == ["timer"]
    os.close(reader)
    os.close(writer)
