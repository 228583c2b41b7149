"""What the service manager hears of the guard, through a socket of the test's own."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.kernel.notify import connect
from lmkd.policy.flight import Flight
from lmkd.policy.headroom import Headroom
from lmkd.policy.step import State
from lmkd.resident.manager import AGAIN_MS, Manager
from lmkd.resident.unmanaged import NEVER_MS, Unmanaged, manager_of
from lmkd.values import replace
from tests.unit.plans import make_plan

PERIOD_MS = 30_000
CALM = State(room=Headroom(0, 0, 0, 84 << 10), kills=3)
SHORT = replace(CALM, level="moderate")
FED = b"WATCHDOG=1\nSTATUS=calm, headroom 84 MiB, 3 killed"


class Heard:
    """A socket as the service manager's; ``told`` is what has come since it was last asked."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        self.connection = connect(str(path))

    def told(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(500))
            except BlockingIOError:
                return found

    def fill(self) -> None:
        """Leave no room for another message."""
        with pytest.raises(BlockingIOError):
            while True:
                os.write(self.connection, b"x")

    def go(self) -> None:
        """Nobody listens any more."""
        self._socket.close()

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(OSError):
            os.close(self.connection)


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    made = Heard(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def manager(tmp_path: Path, heard: Heard) -> Unmanaged:
    made = manager_of(make_plan(tmp_path, notify_fd=heard.connection, watchdog_ms=PERIOD_MS))
    assert isinstance(made, Manager)
    return made


def test_it_hears_of_the_start_a_reload_and_the_end(manager: Unmanaged, heard: Heard) -> None:
    manager.ready("guarding")
    assert heard.told() == [b"READY=1\nSTATUS=guarding"]
    manager.reloading(1234.5)
    assert heard.told() == [b"RELOADING=1\nMONOTONIC_USEC=1234500"]
    manager.stopping()
    assert heard.told() == [b"STOPPING=1"]


def test_a_calm_board_feeds_the_watchdog_after_a_quarter_of_its_period(manager: Unmanaged, heard: Heard) -> None:
    assert manager.alive(PERIOD_MS / 4 - 1, CALM) == PERIOD_MS / 2
    assert heard.told() == []
    assert manager.alive(PERIOD_MS / 4, CALM) == PERIOD_MS * 3 / 4
    assert manager.alive(PERIOD_MS / 4, CALM) == PERIOD_MS * 3 / 4
    assert heard.told() == [FED]


@pytest.mark.parametrize("state", [SHORT, replace(CALM, flight=Flight((), "SIGKILL", 0.0, 0.0, 0, 0))])
def test_while_memory_is_short_it_waits_for_half_of_the_period(manager: Unmanaged, heard: Heard, state: State) -> None:
    assert manager.alive(PERIOD_MS / 2 - 1, state) == PERIOD_MS / 2
    assert heard.told() == []
    manager.alive(PERIOD_MS / 2, state)
    assert len(heard.told()) == 1


def test_a_guard_that_turns_when_it_is_told_to_is_never_late(manager: Unmanaged, heard: Heard) -> None:
    fed_ms, t_ms = [0.0], 0.0
    while t_ms < 20 * PERIOD_MS:
        t_ms = manager.alive(t_ms, SHORT)
        manager.alive(t_ms, SHORT)
        fed_ms += [t_ms] if heard.told() else []
    assert max(after - before for before, after in itertools.pairwise(fed_ms)) <= PERIOD_MS / 2


def test_without_a_watchdog_it_need_not_turn(tmp_path: Path, heard: Heard) -> None:
    manager = Manager(make_plan(tmp_path, notify_fd=heard.connection))
    assert manager.alive(1e9, CALM) == NEVER_MS
    assert heard.told() == []


def test_what_there_is_no_room_for_is_sent_again(manager: Unmanaged, heard: Heard) -> None:
    heard.fill()
    manager.ready("guarding")
    assert manager.alive(10.0, CALM) == 10.0 + AGAIN_MS
    heard.told()
    manager.alive(10.0 + AGAIN_MS, CALM)
    assert heard.told() == [b"READY=1\nSTATUS=guarding"]
    manager.alive(20.0 + AGAIN_MS, CALM)
    assert heard.told() == []


def test_a_watchdog_that_had_no_room_is_fed_again_soon(manager: Unmanaged, heard: Heard) -> None:
    heard.fill()
    assert manager.alive(PERIOD_MS / 2, CALM) == PERIOD_MS / 2 + AGAIN_MS
    heard.told()
    assert manager.alive(PERIOD_MS / 2 + AGAIN_MS, CALM) > PERIOD_MS / 2 + AGAIN_MS
    assert heard.told() and not heard.told()


def test_a_manager_that_has_gone_is_left_alone(manager: Unmanaged, heard: Heard) -> None:
    heard.go()
    manager.alive(PERIOD_MS, CALM)
    manager.ready("guarding")
    manager.stopping()
    assert manager.alive(2 * PERIOD_MS, CALM) == NEVER_MS
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(heard.connection)


def test_who_waits_for_a_line_gets_one_at_the_start_alone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    manager = manager_of(make_plan(tmp_path, ready_fd=writer))
    manager.reloading(0.0)
    manager.ready("guarding")
    manager.ready("guarding by the new configuration")
    with os.fdopen(reader, "rb") as line:
        assert line.read() == b"\n"


def test_who_no_longer_waits_for_the_line_does_no_harm(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    manager_of(make_plan(tmp_path, ready_fd=writer)).ready("guarding")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


def test_where_nobody_waits_nothing_is_said(tmp_path: Path) -> None:
    manager = manager_of(make_plan(tmp_path, watchdog_ms=PERIOD_MS))
    assert not isinstance(manager, Manager)
    manager.ready("guarding")
    manager.reloading(0.0)
    manager.stopping()
    assert manager.alive(1e9, CALM) == NEVER_MS
