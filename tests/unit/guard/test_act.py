"""The port that acts, on real children of the test."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from lmkd.guard.act import NICE_FRONT, DryPort, Handle, RealPort
from lmkd.kernel.process import read_stat
from lmkd.model import Victim
from tests.unit.guard.children import child, needs_nice
from tests.unit.plans import FakeProc


def victim_of(pid: int, start_offset: int = 0) -> Victim:
    stat = read_stat("/proc", pid)
    return Victim(pid, (stat.start_ticks if stat else 0) + start_offset, "victim", 900, -1, 1024)


class WithoutPidfd(RealPort):
    """A kernel before 5.3."""

    def __init__(self, proc: str) -> None:
        super().__init__(proc)
        self._pidfd = False


PORTS = [RealPort, WithoutPidfd]


@pytest.mark.parametrize("kind", PORTS)
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_victim_gets_the_signal_and_its_death_is_seen(kind: type[RealPort], name: str) -> None:
    port = kind("/proc")
    with child() as process:
        handle = port.open(victim_of(process.pid))
        assert handle is not None and port.alive(handle)
        assert port.signal(handle, name) == ""
        if handle.descriptor >= 0:
            watch = select.poll()
            watch.register(handle.descriptor, select.POLLIN)
            assert watch.poll(10_000)
        assert process.wait(10) == -getattr(signal, name)
        assert not port.alive(handle)
        assert port.signal(handle, "SIGKILL") == ""
        port.close(handle)
        port.close(handle)


@pytest.mark.parametrize("kind", PORTS)
@pytest.mark.parametrize("offset", [-1, 1, 10**9])
def test_a_process_with_another_start_time_is_refused(kind: type[RealPort], offset: int) -> None:
    with child() as process:
        before = os.listdir("/proc/self/fd")
        assert kind("/proc").open(victim_of(process.pid, offset)) is None
        assert os.listdir("/proc/self/fd") == before
        assert process.poll() is None


@pytest.mark.parametrize("kind", PORTS)
def test_a_zombie_is_refused(kind: type[RealPort]) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    before = os.listdir("/proc/self/fd")
    assert kind("/proc").open(victim_of(pid)) is None
    assert os.listdir("/proc/self/fd") == before
    os.waitpid(pid, 0)


@pytest.mark.parametrize("kind", PORTS)
def test_a_process_that_is_gone_is_refused(kind: type[RealPort]) -> None:
    with child() as process:
        victim = victim_of(process.pid)
    assert kind("/proc").open(victim) is None


def test_a_name_like_a_zombies_does_not_save_a_process(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    proc.add(os.getpid(), comm=b"foo) Z", start=77)
    port = WithoutPidfd(str(proc.root))
    assert port.open(Victim(os.getpid(), 77, "foo) Z", 900, -1, 1)) is not None
    proc.add(os.getpid(), state="X", start=77)
    assert port.open(Victim(os.getpid(), 77, "foo) Z", 900, -1, 1)) is None


def test_a_refusal_of_the_kernel_is_a_text() -> None:
    port = RealPort("/proc")
    assert "SIGTERM to 7: Bad file descriptor" in port.signal(Handle(7, 1, 10**6), "SIGTERM")


def test_releasing_restores_the_priority_that_we_had() -> None:
    port = RealPort("/proc")
    before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    with child() as process:
        handle = port.open(victim_of(process.pid))
        assert handle is not None
        assert port.release(handle)
        port.close(handle)
        assert process.poll() is None
    assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_a_dry_run_sends_nothing_and_takes_the_victim_for_dead() -> None:
    port = DryPort("/proc")
    with child() as process:
        handle = port.open(victim_of(process.pid))
        assert handle is not None
        assert (port.signal(handle, "SIGKILL"), port.release(handle), port.alive(handle)) == ("", "", False)
        port.close(handle)
        assert process.poll() is None
        assert port.open(victim_of(process.pid, 1)) is None


@needs_nice
def test_who_is_hastened_runs_as_soon_as_anybody() -> None:
    with child() as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, 19)
        DryPort("/proc").hasten(process.pid)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
        RealPort("/proc").hasten(process.pid)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 0
        port = RealPort("/proc")
        port.nice = NICE_FRONT
        port.hasten(process.pid)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICE_FRONT
        assert os.sched_getscheduler(process.pid) & os.SCHED_RESET_ON_FORK, "what it starts as it ends is not hastened"
    RealPort("/proc").hasten(process.pid)
