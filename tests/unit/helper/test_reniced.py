"""Renicing real children of the test: who yields is listed, and each thread gets its own share back, whoever dies."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.helper.reniced import LIST_NAME, Reniced
from lmkd.kernel.nice import NICE_LOWEST
from lmkd.kernel.process import read_stat
from tests.unit.guard.children import child, needs_nice
from tests.unit.helper.test_stopped import state_of, until
from tests.unit.plans import FakeProc

BREEDER = """
import os, signal, threading, time
def breed(number, frame):
    if number == signal.SIGUSR1:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    elif not os.fork():
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        time.sleep(60)
        os._exit(0)
signal.signal(signal.SIGUSR1, breed)
signal.signal(signal.SIGUSR2, breed)
for _ in range(2):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(60)
"""
LEADERLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
time.sleep(0.3)
ctypes.CDLL(None).pthread_exit(None)
"""


class Bench:
    """Those that yield, and what was reported. ``family`` is what the scout would know: (pid, parent)."""

    def __init__(self, folder: Path, proc: str = "/proc") -> None:
        self.list = folder / LIST_NAME
        self.family: list[tuple[int, int]] = []
        self.reports: list[tuple[str, dict[str, Any], str]] = []
        self.reniced = Reniced(proc, str(folder), lambda: self.family, self._report)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        self.reports.append((event, dict(fields), level))

    def lower(self, pid: int, ms: float = 60_000, offset: int = 0) -> None:
        self.reniced.lower(pid, start_of(pid) + offset, "app", ms)

    def last(self) -> dict[str, Any]:
        return self.reports[-1][1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "run")
    yield made
    made.reniced.release_all("the test is over")


def start_of(pid: int) -> int:
    stat = read_stat("/proc", pid)
    return stat.start_ticks if stat is not None else 0


def nice(thread: int, value: int | None = None) -> int:
    if value is not None:
        os.setpriority(os.PRIO_PROCESS, thread, value)
    return os.getpriority(os.PRIO_PROCESS, thread)


def threads(pid: int) -> list[int]:
    return sorted(map(int, os.listdir(f"/proc/{pid}/task")))


def breed_thread(pid: int) -> int:
    before = set(threads(pid))
    with share_of_its_own(pid):
        os.kill(pid, signal.SIGUSR1)
        until(lambda: len(threads(pid)) > len(before))
    [born] = set(threads(pid)) - before
    nice(born, nice(pid))
    return born


def breed_child(pid: int) -> int:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    with share_of_its_own(pid):
        os.kill(pid, signal.SIGUSR2)
        until(path.read_text)
        born = int(path.read_text())
        until(lambda: ignores(born, signal.SIGUSR2))  # what it is sent before it is ready is lost
    nice(born, nice(pid))
    return born


@contextlib.contextmanager
def share_of_its_own(pid: int) -> Iterator[None]:
    """At the lowest it might not come to breed for long; what is born then has what its parent had, as by fork(2)."""
    before = nice(pid)
    nice(pid, 0)
    yield
    nice(pid, before)


def ignores(pid: int, number: int) -> bool:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn")]
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


@needs_nice
def test_one_yields_is_listed_and_gets_its_share_back(bench: Bench) -> None:
    with child() as process:
        own = nice(process.pid)
        bench.lower(process.pid)
        assert (nice(process.pid), process.pid in bench.reniced) == (NICE_LOWEST, True)
        assert bench.list.read_text() == f"{process.pid} {start_of(process.pid)} {own}\n"
        fields = {"pid": process.pid, "name": "app", "nice": NICE_LOWEST, "was": own, "threads": 1}
        reason = {"reason": "it grows faster than memory is made ready"}
        assert bench.reports == [("renice", fields | reason, "info")]
        bench.reniced.release(process.pid, "enough")
        assert (nice(process.pid), process.pid in bench.reniced, bench.list.exists()) == (own, False, False)
        fields = {"pid": process.pid, "name": "app", "nice": own, "reason": "enough"}
        assert bench.reports[1:] == [("renice", fields, "info")]
        bench.reniced.release(process.pid, "enough")
        assert len(bench.reports) == 2


@needs_nice
def test_each_thread_gets_its_own_share_back(bench: Bench) -> None:
    with child(BREEDER) as process:
        shares = dict(zip(threads(process.pid), (-5, 10, NICE_LOWEST), strict=True))
        for thread, share in shares.items():
            nice(thread, share)
        bench.lower(process.pid)
        assert [nice(thread) for thread in shares] == [NICE_LOWEST] * 3
        assert (bench.last()["was"], bench.last()["threads"]) == (-5, 3)
        bench.reniced.release(process.pid, "enough")
        assert {thread: nice(thread) for thread in shares} == shares


@needs_nice
def test_a_thread_and_a_child_born_meanwhile_get_what_the_first_had(bench: Bench) -> None:
    with child(BREEDER) as process, child() as stranger:
        nice(process.pid, 3)
        nice(stranger.pid, NICE_LOWEST)
        bench.lower(process.pid)
        thread, born = breed_thread(process.pid), breed_child(process.pid)
        try:
            bench.family = [(process.pid, 1), (born, process.pid), (stranger.pid, os.getpid())]
            grandthread = breed_thread(born)
            assert nice(thread) == nice(born) == nice(grandthread) == NICE_LOWEST
            bench.reniced.release(process.pid, "enough")
            assert (nice(thread), nice(born), nice(grandthread)) == (3, 3, 3)
            assert nice(stranger.pid) == NICE_LOWEST
        finally:
            os.kill(born, signal.SIGKILL)


@needs_nice
def test_what_somebody_else_gave_meanwhile_is_kept(bench: Bench) -> None:
    with child(BREEDER) as process:
        _, second, _ = threads(process.pid)
        bench.lower(process.pid)
        born = breed_child(process.pid)
        try:
            bench.family = [(born, process.pid)]
            nice(second, 7)
            nice(born, 8)
            bench.reniced.release(process.pid, "enough")
            assert (nice(second), nice(born)) == (7, 8)
        finally:
            os.kill(born, signal.SIGKILL)


@needs_nice
def test_the_time_is_kept_and_then_the_share_comes_back(bench: Bench) -> None:
    with child() as process, child() as other:
        assert bench.reniced.timeout_ms() is None
        bench.reniced.turn()
        bench.lower(process.pid, ms=300)
        bench.lower(other.pid)
        left = bench.reniced.timeout_ms()
        assert left is not None and 0 < left <= 300
        bench.reniced.turn()
        assert process.pid in bench.reniced
        time.sleep(0.31)
        assert bench.reniced.timeout_ms() == 0
        bench.reniced.turn()
        assert (nice(process.pid), nice(other.pid)) == (nice(os.getpid()), NICE_LOWEST)
        assert bench.last()["reason"] == "its time is over" and bench.last()["pid"] == process.pid
        assert bench.list.read_text().split()[0] == str(other.pid)


@needs_nice
def test_asked_again_it_yields_for_longer_and_nothing_else_changes(bench: Bench) -> None:
    with child() as process:
        bench.lower(process.pid, ms=50)
        written = bench.list.stat().st_mtime_ns
        bench.lower(process.pid)
        left = bench.reniced.timeout_ms()
        assert left is not None and 50_000 < left <= 60_000
        time.sleep(0.06)
        bench.reniced.turn()
        assert (process.pid in bench.reniced, len(bench.reports)) == (True, 1)
        assert bench.list.stat().st_mtime_ns == written
        bench.reniced.release(process.pid, "enough")
        assert nice(process.pid) == nice(os.getpid())


@needs_nice
def test_one_that_has_the_least_already_is_left_alone(bench: Bench) -> None:
    with child(BREEDER) as process:
        nice(process.pid, NICE_LOWEST)
        bench.lower(process.pid)
        assert (process.pid in bench.reniced, bench.list.exists(), bench.reports) == (False, False, [])
        assert [nice(thread) for thread in threads(process.pid)] == [NICE_LOWEST] + [nice(os.getpid())] * 2


@pytest.mark.parametrize("offset", [-1, 1])
def test_who_is_gone_or_another_now_is_left_alone(bench: Bench, offset: int) -> None:
    with child() as process:
        bench.lower(process.pid, offset=offset)
        assert nice(process.pid) == nice(os.getpid())
    bench.lower(process.pid)
    assert (bench.reports, bench.list.exists(), bench.reniced.timeout_ms()) == ([], False, None)


@needs_nice
def test_one_that_died_is_forgotten_when_its_time_is_over(bench: Bench) -> None:
    with child() as process:
        bench.lower(process.pid, ms=1)
        nice(process.pid, 0)
        process.kill()
        process.wait(10)
        time.sleep(0.002)
        bench.reniced.turn()
        assert (bench.last()["reason"], process.pid in bench.reniced) == ("its time is over", False)
        assert (bench.list.exists(), bench.reniced.timeout_ms()) == (False, None)


class Reused:
    """A pid of a real process that the fake /proc tells to be one after another."""

    def __init__(self, base: Path, pid: int) -> None:
        self.proc, self.pid = FakeProc(base), pid
        self.proc.add(pid, start=1)
        (self.proc.root / str(pid) / "task").symlink_to(f"/proc/{pid}/task")
        self.bench = Bench(base / "run", str(self.proc.root))

    def lower(self, start: int) -> None:
        self.proc.add(self.pid, start=start)
        self.bench.reniced.lower(self.pid, start, "app", 60_000)


@needs_nice
def test_another_process_that_got_the_pid_is_one_of_its_own(tmp_path: Path) -> None:
    with child() as process:
        reused = Reused(tmp_path, process.pid)
        reused.lower(1)
        reused.proc.add(process.pid, start=2)
        reused.bench.reniced.release(process.pid, "enough")
        assert nice(process.pid) == NICE_LOWEST, "what it has is not ours to change"
        nice(process.pid, 4)
        reused.lower(1)
        nice(process.pid, 5)
        reused.lower(2)
        assert nice(process.pid) == NICE_LOWEST and reused.bench.list.read_text() == f"{process.pid} 2 5\n"
        reused.bench.reniced.release_all("enough")
        assert nice(process.pid) == 5


@needs_nice
def test_a_child_that_had_the_least_before_keeps_it(bench: Bench) -> None:
    with child(BREEDER) as process:
        born = breed_child(process.pid)
        try:
            bench.family = [(born, process.pid)]
            nice(born, NICE_LOWEST)
            bench.lower(process.pid)
            bench.reniced.release(process.pid, "enough")
            assert nice(born) == NICE_LOWEST
        finally:
            os.kill(born, signal.SIGKILL)


@needs_nice
def test_the_children_of_one_that_died_get_its_share(bench: Bench) -> None:
    with child(BREEDER) as process:
        bench.lower(process.pid)
        born = breed_child(process.pid)
        try:
            bench.family = [(born, process.pid)]
            nice(process.pid, 0)
            process.kill()
            process.wait(10)
            bench.reniced.release(process.pid, "it is ended")
            assert nice(born) == nice(os.getpid())
        finally:
            os.kill(born, signal.SIGKILL)


@needs_nice
def test_one_whose_first_thread_has_ended_gets_its_share_back(bench: Bench) -> None:
    with child(LEADERLESS) as process:
        bench.lower(process.pid)
        nice(process.pid, 0)
        until(lambda: state_of(process.pid) == "Z")
        assert len(threads(process.pid)) == 2
        bench.reniced.release(process.pid, "enough")
        assert nice(max(threads(process.pid))) == nice(os.getpid())
