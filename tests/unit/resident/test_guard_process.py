"""A whole guard as the planner execs it, in a dry run over a fake /proc: what its service manager hears."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmkd.kernel.notify import connect
from lmkd.plan import dump_plan
from lmkd.planner import _BOOTSTRAP
from tests.unit.kernel.test_meminfo import BOARD
from tests.unit.plans import FakeProc, make_plan
from tests.unit.source_tree import ROOT

PERIOD_MS = 400
LIMIT_S = 30.0
SILENCE_S = 4 * PERIOD_MS / 1000


class Service:
    """The guard and the socket that it was given."""

    def __init__(self, base: Path) -> None:
        FakeProc(base).root.joinpath("meminfo").write_bytes(BOARD)
        (base / "run").mkdir()
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.heard.bind(str(base / "notify"))
        self.heard.settimeout(LIMIT_S)
        connection = connect(str(base / "notify"))
        plan = make_plan(base, dry_run=True, notify_fd=connection, watchdog_ms=PERIOD_MS, reload_argv=("/bin/false",))
        descriptor = os.memfd_create("plan", 0)
        os.write(descriptor, dump_plan(plan))
        command = [sys.executable, "-I", "-S", "-B", "-c", _BOOTSTRAP, str(ROOT), str(descriptor)]
        self.process = subprocess.Popen(
            command, pass_fds=(descriptor, connection), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(descriptor)
        os.close(connection)

    def until(self, wanted: Callable[[bytes], bool]) -> bytes:
        """The first message of that kind; the test fails when it takes too long."""
        deadline_s = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline_s:
            message = self.heard.recv(500)
            if wanted(message):
                return message
        raise AssertionError("it was not told in time")

    def close(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT_S)
        self.heard.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.close()


def begins(start: bytes) -> Callable[[bytes], bool]:
    return lambda message: message.startswith(start)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_it_is_ready_feeds_its_watchdog_reloads_and_stops(service: Service) -> None:
    service.until(begins(b"READY=1"))
    for _ in range(3):
        service.until(begins(b"WATCHDOG=1\nSTATUS="))
    before_us = time.monotonic_ns() // 1000
    service.process.send_signal(signal.SIGHUP)
    told_us = int(service.until(begins(b"RELOADING=1\nMONOTONIC_USEC=")).rpartition(b"=")[2])
    assert before_us <= told_us <= time.monotonic_ns() // 1000
    assert service.until(begins(b"READY=1")) == b"READY=1\nSTATUS=guarding by the old configuration"
    service.process.send_signal(signal.SIGTERM)
    service.until(begins(b"STOPPING=1"))
    assert service.process.wait(LIMIT_S) == 0


def test_one_that_is_stopped_feeds_it_no_more(service: Service) -> None:
    service.until(begins(b"READY=1"))
    service.until(begins(b"WATCHDOG=1"))
    service.process.send_signal(signal.SIGSTOP)
    deadline_s = time.monotonic() + LIMIT_S
    while state(service.process.pid) != "T" and time.monotonic() < deadline_s:
        time.sleep(0.01)
    service.heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            service.heard.recv(500)
    service.heard.settimeout(SILENCE_S)
    with pytest.raises(TimeoutError):
        service.heard.recv(500)
    service.process.send_signal(signal.SIGCONT)
    service.heard.settimeout(LIMIT_S)
    service.until(begins(b"WATCHDOG=1"))
