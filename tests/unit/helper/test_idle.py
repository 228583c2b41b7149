"""Who does nothing, as far as the scout's looks at it tell, over a fake /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmkd.helper.scout import Scout
from tests.unit.plans import FakeProc, make_plan, stat_text


class Bench:
    """A scout that looks at one process, of which the test tells what its files say."""

    def __init__(self, base: Path) -> None:
        self.proc = FakeProc(base)
        self.scout = Scout(make_plan(base), (), lambda *_: None)
        self.looks(0, 0)
        self.scout.scan()
        self.scout.scan()  # the second look takes it as known

    def looks(
        self, switches: int | None, ticks: int, threads: int = 1, state: str = "S", pid: int = 10, start: int = 1000
    ) -> None:
        """What its files say from now on."""
        folder = self.proc.add(pid, state=state, start=start)
        status = (folder / "status").read_bytes().replace(b"Threads:\t1\n", b"Threads:\t%d\n" % threads)
        if switches is not None:
            status += b"voluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t77\n" % switches
        (folder / "status").write_bytes(status)
        stat = stat_text(pid, b"app", state, 1, 0x400000, start)
        (folder / "stat").write_bytes(stat.replace(b" 5 6 7 8 20 ", b" %d 0 7 8 20 " % ticks))

    def since(self, pid: int = 10) -> float:
        """Since when it has done nothing, by another look at it."""
        self.scout.measure(private=False)
        return self.scout.idle_since_ms()[pid]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_process_counts_as_idle_only_since_it_is_looked_at(bench: Bench) -> None:
    before = bench.scout.idle_since_ms()[10]
    assert bench.since() > before


def test_one_that_never_waits_for_anything_anew_does_nothing(bench: Bench) -> None:
    bench.looks(5, 100)
    first = bench.since()
    assert (bench.since(), bench.since()) == (first, first)


def test_one_that_waits_again_has_done_something(bench: Bench) -> None:
    bench.looks(5, 100)
    first = bench.since()
    bench.looks(6, 100)
    assert bench.since() > first


def test_of_one_with_threads_its_processor_time_tells(bench: Bench) -> None:
    bench.looks(5, 100, threads=3)
    first = bench.since()
    bench.looks(6, 100, threads=3)
    assert bench.since() == first, "the switches of its first thread tell nothing of the others"
    bench.looks(6, 101, threads=3)
    assert bench.since() > first


def test_where_the_kernel_does_not_count_switches_processor_time_tells(bench: Bench) -> None:
    bench.looks(None, 100)
    first = bench.since()
    assert bench.since() == first
    bench.looks(None, 101)
    assert bench.since() > first


def test_one_that_computes_without_ever_waiting_is_not_idle(bench: Bench) -> None:
    bench.looks(5, 100, state="R")
    first = bench.since()
    bench.looks(5, 150, state="R")
    second = bench.since()
    bench.looks(5, 200, state="R")
    assert first < second < bench.since()


def test_one_that_gets_threads_has_done_something(bench: Bench) -> None:
    bench.looks(5, 100)
    first = bench.since()
    bench.looks(5, 100, threads=2)
    assert bench.since() > first


def test_a_name_of_its_own_does_not_make_a_process_look_busy(bench: Bench) -> None:
    bench.looks(5, 100)
    path = bench.proc.root / "10" / "status"
    path.write_bytes(path.read_bytes().replace(b"Name:\tapp", b"Name:\tState:\\n\tR voluntary_ctxt_switches:\t9"))
    first = bench.since()
    bench.looks(5, 200)
    assert bench.since() == first


def test_what_is_known_of_its_idling_outlives_an_exec(bench: Bench) -> None:
    bench.looks(5, 100)
    first = bench.since()
    for _ in range(2):
        bench.scout.scan()
    assert bench.since() == first


def test_another_process_of_the_pid_begins_anew(bench: Bench) -> None:
    bench.looks(5, 100)
    first = bench.since()
    bench.looks(5, 100, start=2000)
    bench.scout.scan()
    assert bench.since() > first


def test_who_is_gone_is_not_idle(bench: Bench) -> None:
    bench.since()
    bench.proc.remove(10)
    bench.scout.measure(private=False)
    assert bench.scout.idle_since_ms() == {}
