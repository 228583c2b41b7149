"""The asyncio client against a real socket: the same promises as the synchronous one's, and several tasks at once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lmkd.client import AboutToKill, Event, Level, Link, NotAvailable, OddAnswer, Refused, Retry
from lmkd.client.aio import AsyncClient
from lmkd.client.codec import Notice
from tests.unit.client.fake_server import FakeLmkd


def run(server: FakeLmkd, scene: Callable[[AsyncClient], Awaitable[None]], timeout_ms: int = 10_000) -> None:
    async def within() -> None:
        async with AsyncClient(str(server.path), timeout_ms, Retry(5, 20)) as client:
            await asyncio.wait_for(scene(client), 20)

    asyncio.run(within())


async def until(met: Callable[[], bool]) -> None:
    while not met():
        await asyncio.sleep(0.002)


@asynccontextmanager
async def listening(client: AsyncClient) -> AsyncIterator[list[Notice]]:
    heard: list[Notice] = []

    async def note(notice: Notice) -> None:
        heard.append(notice)

    task = asyncio.create_task(client.listen(heard.append, heard.append, note, note))
    yield heard
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def kinds(heard: list[Notice]) -> list[str]:
    return [notice.level if isinstance(notice, Level) else type(notice).__name__ for notice in heard]


def test_every_request_is_one_of_the_protocol_and_its_answer_is_read(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        assert await client.status() == {"level": "calm"}
        assert await client.tmpfs() == {"level": "calm"}
        assert await client.policy() == [{"name": "trim"}]
        assert [row["pid"] for row in await client.candidates()] == [1, 2, 3]
        assert [record["seq"] for record in await client.events(names=["kill"])] == [1]
        assert (await client.metrics()).endswith("# EOF\n")
        made = await client.register(name="player", priority=650, trim=True)
        assert made is not None and made[:3] == (os.getpid(), 650, "service")
        await client.unregister()
        assert (await client.set_priority(9, "cached")).priority == 900
        assert (await client.clear(9)).pid == 9
        await client.trim(kib=4096)
        await client.kill(9)
        await client.reload()
        assert await client.subscribe(events=["*"]) == "calm"
        await client.unsubscribe()
        assert len(server.peers) == 1

    run(server, scene)


def test_many_tasks_ask_on_one_connection_and_each_gets_its_own_answer(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        changes = await asyncio.gather(*(client.set_priority(pid, 900) for pid in range(1, 51)))
        assert [change.pid for change in changes] == list(range(1, 51))
        assert len(server.peers) == 1

    run(server, scene)


def test_without_lmkd_a_request_says_so_and_a_wish_is_remembered(absent: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        with pytest.raises(NotAvailable, match="not running here"):
            await client.status()
        assert await client.register(priority="cached") is None
        assert await client.subscribe() is None
        await client.unregister(12)
        absent.start()
        await client.status()
        assert absent.ops() == ["register", "subscribe", "status"]

    run(absent, scene)


def test_refusals_and_oddities_are_told_apart(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        server.refuse = {"kill": "no right"}
        with pytest.raises(Refused, match="lmkd refused: no right"):
            await client.kill(9)
        server.instead = b'{"v":1,"ok":true,"id":2}'
        with pytest.raises(OddAnswer, match="without status"):
            await client.status()
        server.instead = b"hello"
        with pytest.raises(OddAnswer, match="not JSON"):
            await client.status()
        server.instead = b'{"v":1,"ok":false,"error":"one too many"}'
        with pytest.raises(NotAvailable, match="one too many"):
            await client.status()

    run(server, scene)


def test_an_answer_that_does_not_come_is_not_waited_for_without_end(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        server.silent = True
        with pytest.raises(NotAvailable, match="did not answer status within 30 ms"):
            await client.status()
        server.silent = False
        await client.status()

    run(server, scene, timeout_ms=30)


def test_a_request_that_is_cancelled_leaves_the_connection_usable(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        await client.connect()
        server.silent = True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.status(), 0.02)
        server.silent = False
        assert [row["pid"] for row in await client.candidates()] == [1, 2, 3]
        assert len(server.peers) == 1

    run(server, scene)


def test_a_restart_between_two_requests_is_not_seen(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        await client.register(priority="cached")
        server.stop()
        server.start()
        await client.status()
        assert server.ops() == ["register", "register", "status"]

    run(server, scene)


def test_a_listener_outlives_lmkd_and_is_told_what_changed_meanwhile(absent: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        await client.register(name="player", priority="background")
        async with listening(client) as heard:
            await until(lambda: len(heard) == 1)
            absent.start()
            await until(lambda: len(heard) == 3)
            absent.level("critical", dropped=2)
            await until(lambda: len(heard) == 4)
            absent.stop()
            await until(lambda: len(heard) == 5)
            absent.present = "low"
            absent.start()
            await until(lambda: len(heard) == 7)
            await client.status()
            absent.about_to_kill(os.getpid())
            await until(lambda: len(heard) == 8)
        assert kinds(heard) == ["Link", "Link", "calm", "critical", "Link", "Link", "low", "AboutToKill"]
        assert heard[0] == Link(False, f"lmkd is not running here: no socket at {absent.path}")
        assert heard[3] == Level("critical", "calm", 8123, 850.5, 12.5, "headroom", 2)
        assert heard[6] == Level("low", "critical")
        assert heard[7] == AboutToKill(os.getpid(), "app", "SIGTERM", 200, "headroom")
        assert absent.ops() == ["register", "subscribe", "register", "subscribe", "status"]

    run(absent, scene)


def test_a_level_that_changes_right_after_the_subscription_is_the_last_one_told(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        await client.connect()
        server.rises = "critical"
        subscribing = asyncio.create_task(client.subscribe())
        while not server.requests:
            await asyncio.sleep(0)
        time.sleep(0.1)  # an application busy with something else finds the answer and the notice together
        assert await subscribing == "calm"
        async with listening(client) as heard:
            await until(lambda: len(heard) == 3)
        assert kinds(heard) == ["Link", "calm", "critical"]

    run(server, scene)


def test_nonsense_and_refusals_do_not_end_the_listener(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        await client.register(name="player")
        async with listening(client) as heard:
            await until(lambda: len(heard) == 2)
            server.refuse = {"register": "full"}
            server.raw(b"[]")
            await until(lambda: len(heard) == 5)
        assert heard[2:] == [Link(False, "not a JSON object"), Link(True, "lmkd refused: full"), Level("calm", "calm")]

    run(server, scene)


def test_an_lmkd_that_takes_nobody_is_not_asked_in_a_circle_of_notices(absent: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        absent.greeting = b'{"v":1,"ok":false,"error":"128 clients are served"}'
        absent.start()
        async with listening(client) as heard:
            await asyncio.sleep(0.1)
        assert kinds(heard) == ["Link"]

    run(absent, scene)


def test_records_are_followed_on_a_connection_of_their_own(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        following = client.follow()
        assert (await anext(following))["event"] == "ready"
        await client.status()
        assert await anext(following) == {"event": "kill", "seq": 1, "pid": 7}
        server.stop()
        with pytest.raises(NotAvailable):
            await anext(following)

    run(server, scene)


def test_records_come_among_levels(server: FakeLmkd) -> None:
    async def scene(client: AsyncClient) -> None:
        await client.subscribe(levels=False, events=["kill"])
        server.level("low")
        server.event("kill", pid=7)
        async for notice in client.notices():
            if not isinstance(notice, Link):
                assert notice == Event("kill", {"event": "kill", "pid": 7})
                return

    run(server, scene)


def test_a_path_too_long_for_a_socket_is_a_clear_error(tmp_path: Path) -> None:
    async def scene() -> None:
        with pytest.raises(NotAvailable, match="cannot connect to"):
            await AsyncClient(str(tmp_path / ("x" * 200))).status()

    asyncio.run(scene())
