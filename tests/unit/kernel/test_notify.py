"""READY=1 to a real socket, in the file system and abstract."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lmkd.kernel.notify import notify


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        notify(path, "READY=1\nMAINPID=7")
        assert manager.recv(100) == b"READY=1\nMAINPID=7"


def test_an_abstract_address_begins_with_an_at_sign() -> None:
    name = f"lmkd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        notify("@" + name, "READY=1")
        assert manager.recv(100) == b"READY=1"


def test_without_a_service_manager_nothing_is_sent() -> None:
    notify("", "READY=1")


def test_a_manager_that_is_gone_is_an_error_without_a_descriptor_left(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        notify(str(tmp_path / "absent"), "READY=1")
    assert os.listdir("/proc/self/fd") == before


def test_a_manager_that_does_not_read_does_not_hold_us_up(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        with pytest.raises(BlockingIOError):
            for _ in range(100_000):
                notify(path, "READY=1")
