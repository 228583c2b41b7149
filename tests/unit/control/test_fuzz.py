"""Ten thousand bad messages on the socket; a hundred subscribers of whom half are stuck: nothing breaks or grows."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import socket
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.control.connection import Limits
from lmkd.control.protocol import REQUEST_LIMIT_BYTES
from lmkd.control.schema import OPS
from lmkd.guard.record import Recorder
from lmkd.model import Note
from lmkd.policy.step import State
from tests.unit.control.talking import Client, Talking

MESSAGES = 10_000
EXAMPLES: dict[str, tuple[Any, ...]] = {
    "int": (0, 1, 10, -1, 2**31, 2**63, 1.5, True, None),
    "bool": (True, False, 0, None, "true"),
    "text": ("", "app", "x" * 33, "\0", "\ud800", 5, None),
    "names": ([], ["*"], ["kill", ""], ["x"] * 40, "kill", [None]),
    "priority": ("cached", 900, -1000, 1001, "best", True, None, []),
}


@pytest.fixture
def talking(tmp_path: Path) -> Iterator[Talking]:
    made = Talking(tmp_path, Limits(burst=10**9), proc="/proc")
    yield made
    made.close()


def request(chance: random.Random) -> bytes:
    """One that is nearly right."""
    op = chance.choice(OPS)
    fields = {"v": 1, "op": op.name}
    for field in op.fields:
        if chance.random() < 0.7:
            fields[field.name] = chance.choice(EXAMPLES[field.kind])
    if chance.random() < 0.3:
        fields[chance.choice(("id", "v", "op", "pid", "nonsense"))] = chance.choice((1, "x" * 70, None, [1], 2**60))
    return json.dumps(fields).encode()


def message(chance: random.Random) -> bytes:
    """Random bytes, a request, a part of one, or one with bytes changed; never empty, for that is an end."""
    kind = chance.randrange(5)
    if kind == 0:
        return chance.randbytes(chance.choice((1, 7, 100, REQUEST_LIMIT_BYTES, REQUEST_LIMIT_BYTES + 1, 9000)))
    made = bytearray(request(chance))
    if kind == 1:
        return bytes(made[: chance.randrange(1, len(made))])
    if kind == 2:
        for _ in range(chance.randrange(1, 6)):
            made[chance.randrange(len(made))] = chance.randrange(256)
    if kind == 3:
        at = chance.randrange(len(made))
        made[at:at] = chance.choice((b"[" * 2000, b'{"a":' * 500, b'"', b"\\u0000", b"9" * 400))
    return bytes(made)


def take_all(client: Client) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while client.socket.recv(1 << 17):
            count += 1
    return count


def test_ten_thousand_bad_messages_raise_nothing_and_nothing_grows(talking: Talking) -> None:
    chance = random.Random(20)
    made = [message(chance) for _ in range(MESSAGES)]
    # Requests of a right form must not end the test's own processes, nor cost a page walk of all processes each.
    talking.talker.hands._source.tmpfs = lambda: {}  # type: ignore[method-assign]
    talking.talker.hands._source.status = lambda: {"level": "calm"}  # type: ignore[method-assign]
    clients = [talking.client() for _ in range(4)]
    for client in clients:
        client.socket.setblocking(False)
    talking.turns(8)
    sizes = []
    tracemalloc.start()
    for number, data in enumerate(made):
        client = clients[number % len(clients)]
        client.send(data)
        for _ in range(4):  # what follows events says nothing as long as there are none
            if take_all(client):
                break
            talking.turn(0)
        if number % 2500 == 2499:
            talking.turns(3)
            talking.orders.clear()
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(talking.talker.connections) == len(clients)
    assert (talking.talker._orders, talking.talker.hands.take_numbers()) == ({}, [])
    assert all(one.reply_bytes == 0 and not one.unsent for one in talking.talker.connections.values())
    assert sizes[-1] - sizes[0] < 32 << 10, sizes
    assert clients[0].ask("events")["ok"] is True


def test_messages_without_reading_the_replies_are_bounded(talking: Talking) -> None:
    recorder = Recorder(talking.exchange)
    for _ in range(60):
        recorder.write(Note("x", (("text", "x" * 900),)), 1.0)
    clients = [talking.client() for _ in range(60)]
    for client in clients:
        client.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(50):
                client.send(b'{"v":1,"op":"events"}')
    talking.turns(100)
    waiting = sum(one.reply_bytes for one in talking.talker.connections.values())
    assert 0 < waiting <= talking.talker.limits.reply_bytes
    clients[0].socket.close()
    talking.turns(2)


def test_a_hundred_subscribers_half_of_them_stuck_hold_up_nobody(talking: Talking) -> None:
    clients = [talking.client() for _ in range(100)]
    for client in clients:
        assert client.ask("subscribe", events=["*"])["subscribed"]
    reads, limits = clients[::2], talking.talker.limits
    recorder = Recorder(talking.exchange)
    spent = []
    for number in range(60):
        names = ("calm", "low")
        talking.exchange.notices.tell_level(names[number % 2], State(level=names[(number + 1) % 2]), 1.0, "because")
        recorder.write(Note("kill", (("text", "x" * 600),)), 1.0)
        began = time.monotonic()
        talking.turn(0)
        spent.append(time.monotonic() - began)
        for client in reads:
            told = [client.receive(), client.receive()]
            assert {*told[0], *told[1]} >= {"level", "event"}
    for connection in talking.talker.connections.values():
        assert connection._notices <= limits.notices and connection._notice_bytes <= limits.notice_bytes
    stuck = sum(one.dropped > 0 for one in talking.talker.connections.values())
    assert stuck == 50
    assert sorted(spent)[len(spent) // 2] < 0.1


def test_clients_that_die_in_the_middle_of_anything_leave_nothing(talking: Talking) -> None:
    chance = random.Random(7)
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(300):
        client = talking.client()
        with contextlib.suppress(OSError):
            for _ in range(chance.randrange(3)):
                client.send(message(chance))
        if chance.random() < 0.5:
            talking.turns(chance.randrange(3))
        client.socket.close()
        if chance.random() < 0.3:
            talking.exchange.notices.tell_level("calm", State(level=chance.choice(("low", "calm"))), 1.0, "")
    talking.talker.hands._source.tmpfs = lambda: {}  # type: ignore[method-assign]
    for _ in range(400):
        talking.turn(0)
    assert talking.talker.connections == {}
    assert set(os.listdir("/proc/self/fd")) == before
    assert isinstance(talking.client().socket, socket.socket)
