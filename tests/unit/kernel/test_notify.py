"""Who waits to hear of us, by the environment: sockets in the file system and abstract, and the watchdog."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lmkd.kernel.notify import NOBODY, Waiting, connect, who_waits


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.mark.parametrize("abstract", [False, True])
def test_the_connection_leads_to_the_manager_of_the_environment(path: str, abstract: bool) -> None:
    given = f"@lmkd-test-{os.getpid()}" if abstract else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + given[1:] if abstract else given)
        who = who_waits({"NOTIFY_SOCKET": given}, 7)
        try:
            os.write(who.fd, b"READY=1")
        finally:
            os.close(who.fd)
        assert manager.recv(100) == b"READY=1"
        assert (who.watchdog_ms, who.notes) == (0, ())


def test_the_connection_outlives_an_exec_and_never_waits(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        descriptor = connect(path)
        try:
            assert os.get_inheritable(descriptor) and not os.get_blocking(descriptor)
        finally:
            os.close(descriptor)


def test_without_a_service_manager_nobody_waits() -> None:
    assert who_waits({"WATCHDOG_USEC": "30000000"}, 7) == Waiting(NOBODY, 0)


def test_a_manager_that_is_not_there_is_recorded_and_leaves_no_descriptor(path: str) -> None:
    before = os.listdir("/proc/self/fd")
    who = who_waits({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000"}, 7)
    assert os.listdir("/proc/self/fd") == before
    assert (who.fd, who.watchdog_ms) == (NOBODY, 0)
    ((event, fields, level),) = who.notes
    assert (event, dict(fields)["feature"], level) == ("degraded", "NOTIFY_SOCKET", "warning")


@pytest.mark.parametrize(
    ("environment", "period_ms"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({"WATCHDOG_USEC": "-1"}, 0),
        ({}, 0),
    ],
)
def test_the_watchdog_is_ours_unless_it_names_another_process(
    path: str, environment: dict[str, str], period_ms: int
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        who = who_waits({"NOTIFY_SOCKET": path, **environment}, 7)
        os.close(who.fd)
        assert who.watchdog_ms == period_ms
