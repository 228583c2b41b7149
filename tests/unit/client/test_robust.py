"""Both Python clients under what an application does around them: fork, signals, cancelled tasks, a loop that ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from lmkd.client import Client, Level, Link, Retry
from lmkd.client.aio import AsyncClient
from lmkd.client.stopped import Stopped
from tests.unit.client.fake_server import FakeLmkd


class TimeIsOverError(Exception):
    """What the application's signal handler raises."""


@pytest.fixture
def interrupted() -> Iterator[None]:
    """A signal comes in 100 ms, and its handler raises."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise TimeIsOverError

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_after_fork_both_have_a_connection_and_are_told(server: FakeLmkd) -> None:
    with Client(str(server.path)) as client:
        client.register(priority="cached")
        client.subscribe()
        assert client.next_notice() == Level("calm", "calm")
        child = os.fork()
        if child == 0:  # no assertion is seen from here: the exit status tells
            with contextlib.suppress(BaseException):
                own = client.next_notice(10_000), client.next_notice(10_000)
                os._exit(0 if [notice.level for notice in own if isinstance(notice, Level)] == ["calm", "low"] else 1)
            os._exit(2)
        server.wait(lambda: len(server.subscribers()) == 2)
        server.level("low")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        notice = client.next_notice(10_000)
        assert isinstance(notice, Level) and notice.level == "low"
        server.wait(lambda: len(server.subscribers()) == 1)
        assert server.ops() == ["register", "subscribe"] * 2


def test_what_a_signal_handler_raises_leaves_no_connection_that_is_half_made(
    server: FakeLmkd, interrupted: None
) -> None:
    with Client(str(server.path), 20_000) as client:
        server.stop()
        client.subscribe()
        server.silent = True
        server.start()
        with pytest.raises(TimeIsOverError):
            client.status()
        server.silent = False
        client.status()
        assert len(server.subscribers()) == 1


def test_a_request_that_a_signal_ended_leaves_the_next_one_its_own_answer(server: FakeLmkd, interrupted: None) -> None:
    with Client(str(server.path), 20_000) as client:
        client.connect()
        server.silent = True
        with pytest.raises(TimeIsOverError):
            client.set_priority(8, 900)
        for peer in server.peers.values():
            peer.send(ok=True, id=1, set={"pid": 8})
        server.silent = False
        assert client.set_priority(9, 900).pid == 9


def test_a_signal_handler_may_stop_what_it_interrupts(absent: FakeLmkd) -> None:
    client = Client(str(absent.path), retry=Retry(60_000, 60_000))

    def handle(number: int, frame: FrameType | None) -> None:
        client.stop()

    before = signal.signal(signal.SIGALRM, handle)
    try:
        for notice in client.notices():
            assert isinstance(notice, Link)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_stopping_twice_and_at_any_moment_ends_every_wait() -> None:
    stopped = Stopped()
    waits = [threading.Thread(target=stopped.wait, args=(20.0,)) for _ in range(4)]
    for one in waits:
        one.start()
    time.sleep(0.02)
    stopped.set()
    stopped.set()
    for one in waits:
        one.join(10)
    stopped.wait(20.0)
    assert stopped.is_set() and not any(one.is_alive() for one in waits)
    before_s = time.monotonic()
    Stopped().wait(0.02)
    assert time.monotonic() - before_s >= 0.02


def test_a_task_cancelled_while_it_connects_leaves_no_connection_that_is_half_made(server: FakeLmkd) -> None:
    async def scene() -> None:
        client = AsyncClient(str(server.path), 20_000)
        server.stop()
        await client.subscribe()
        server.silent = True
        server.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.status(), 0.1)
        server.silent = False
        await client.status()
        assert len(server.subscribers()) == 1
        client.close()

    asyncio.run(scene())


def test_the_asyncio_client_can_be_closed_when_its_loop_has_ended(server: FakeLmkd) -> None:
    client = AsyncClient(str(server.path))

    async def scene() -> Any:
        return await client.status()

    assert asyncio.run(scene()) == {"level": "calm"}
    client.close()
    server.wait(lambda: not server.peers)
