"""Android's protocol behind a real talker, with its registry, its notices and its records."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lmkd.control.connection import Limits
from lmkd.guard.record import Recorder
from lmkd.helper.entry import HAS_PRIORITY, PRIVILEGED
from lmkd.helper.orders import PURGE, REGISTER_RECORD, RELOAD, REMOVE
from lmkd.helper.registry import Registry, Slot
from lmkd.model import Kill, Note, Victim
from lmkd.policy.step import State
from tests.unit.control.talking import Talking


def words(*numbers: int) -> bytes:
    return struct.pack(f"!{len(numbers)}i", *numbers)


@pytest.fixture
def talking(tmp_path: Path) -> Iterator[Talking]:
    """All connections to the one socket of the fake are Android's."""
    made = Talking(tmp_path, proc="/proc", android_socket=str(tmp_path / "lmkd"), control_gid=os.getgid())
    made.talker._listeners = {fd: ("android", one) for fd, (_, one) in made.talker._listeners.items()}
    yield made
    made.close()


@pytest.fixture
def app() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


@pytest.fixture
def recorder(talking: Talking) -> Recorder:
    return Recorder(talking.exchange)


def test_a_registration_becomes_an_order_and_what_follows_waits_for_it(talking: Talking, app: int) -> None:
    client = talking.client()
    client.send(words(1, app, 10101, 900))
    client.send(words(4, -1000, 1000))
    assert client.raw() == words(4, 0)
    ((_, operation, flags, priority, pid, *_),) = talking.orders
    assert (operation, priority, pid) == (REGISTER_RECORD, 900, app)
    assert flags & HAS_PRIORITY and flags & PRIVILEGED


def test_a_batch_becomes_several_orders_and_a_purge_one(talking: Talking, app: int) -> None:
    client = talking.client()
    client.send(words(11, app, 1, 900, 0, app, 1, 0, 0, 2**30, 1, 0, 0))
    client.send(words(3))
    client.send(words(7 + 3))
    assert client.raw() == words(10, 0)
    assert [order[1] for order in talking.orders] == [REGISTER_RECORD, REGISTER_RECORD, PURGE]
    status = talking.talker.hands.status()["android"]
    assert (status["connections"], status["refused"]) == (1, 1)
    assert "there is no process 1073741824" in status["refusal"]


def test_a_thread_is_not_registered_for_a_process(talking: Talking) -> None:
    client = talking.client()
    with ThreadPoolExecutor(1) as pool:
        thread = pool.submit(threading.get_native_id).result()
        client.send(words(1, thread, 0, 900))
        client.send(words(10))
        client.raw()
    assert talking.orders == []
    assert talking.talker.hands.status()["android"]["refusal"] == f"{thread} is a thread of process {os.getpid()}"


def test_what_another_one_has_registered_may_be_claimed_when_he_has_no_connection(talking: Talking, app: int) -> None:
    process = talking.talker.hands.process(app)
    slot = Slot(app, process.start_ticks, 0, 900, HAS_PRIORITY | PRIVILEGED, 0, 1, 1, b"")
    Registry(talking.exchange.slots).put(slot)
    client = talking.client()
    client.send(words(2, app))
    client.send(words(10))
    client.raw()
    assert [order[1] for order in talking.orders] == [REMOVE]


def test_a_kill_is_told_and_then_its_statistics(talking: Talking, recorder: Recorder, app: int) -> None:
    client = talking.client()
    client.send(words(1, app, 10101, 900))
    client.send(words(5, 0))
    client.send(words(5, 1))
    client.send(words(10))
    assert client.raw() == words(10, 0)
    start = talking.talker.hands.process(app).start_ticks
    victims = (Victim(app, start, "app", 900, -1, 2048),)
    talking.exchange.notices.tell_kill(Kill(victims, "SIGKILL", "priority", ()), victims, State(), 5.0)
    fields = (("pid", app), ("name", "app"), ("priority", 900), ("trigger", "headroom below its floor"))
    recorder.write(Note("kill", fields), 5.0)
    assert client.raw() == words(6, app, 10101)
    message = client.raw()
    assert (message[:4], message[-6:]) == (words(8), b"\0\3app\0")
    assert struct.unpack_from("!8i", message, 52)[:3] == (10101, 900, -999)
    assert client.silent()


@pytest.mark.parametrize(("event", "result"), [("reload", 0), ("reload_failed", -1)])
def test_a_reload_is_answered_when_it_has_ended(talking: Talking, recorder: Recorder, event: str, result: int) -> None:
    recorder.write(Note("reload_failed", ()), 1.0)
    client = talking.client()
    client.send(words(7))
    assert client.silent(20)
    assert [order[1] for order in talking.orders] == [RELOAD]
    recorder.write(Note(event, ()), 2.0)
    assert client.raw() == words(7, result)


def test_who_has_heard_how_a_reload_ended_is_served_again(talking: Talking, recorder: Recorder) -> None:
    client = talking.client()
    client.send(words(7))
    assert client.silent(20)
    recorder.write(Note("reload", ()), 2.0)
    assert client.raw() == words(7, 0)
    client.send(words(4, -1000, 1000))
    assert client.raw() == words(4, 0)
    (connection,) = talking.talker.connections.values()
    assert connection.interests == frozenset()


def test_a_reload_is_answered_also_by_a_talker_that_ends_with_its_helper(talking: Talking, recorder: Recorder) -> None:
    client = talking.client()
    client.send(words(7))
    assert client.silent(20)
    recorder.write(Note("reload", ()), 2.0)
    talking.helper.close()
    assert not talking.talker.turn(0)
    assert client.socket.recv(64) == words(7, 0)


def test_a_silent_client_is_kept_and_one_without_rights_is_not(tmp_path: Path) -> None:
    made = Talking(tmp_path, limits=Limits(idle_ms=0), proc="/proc", android_socket=str(tmp_path / "lmkd"))
    try:
        made.talker._listeners = {fd: ("android", one) for fd, (_, one) in made.talker._listeners.items()}
        client = made.client()
        client.send(words(4, 0, 0))
        if os.getuid() == 0:
            assert client.raw() == words(4, 0)
            assert not client.ended(20)
        else:
            assert client.ended()
    finally:
        made.close()
