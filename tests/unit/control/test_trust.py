"""Who may do all is served however many others ask, and however fast it asks itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmkd.control.connection import Limits
from lmkd.control.hands import Peer
from lmkd.guard.record import Recorder
from lmkd.model import Note
from tests.unit.control.talking import Client, Talking
from tests.unit.guard.children import child

REGISTRATIONS = 1000


def connected(talking: Talking, uid: int = 0) -> Client:
    """A client whose request was answered; of a user without rights, unless ``uid`` is 0."""
    client = talking.client()
    client.ask("status")
    if uid:
        talking.distrust(uid)
    return client


def test_a_thousand_registrations_in_one_go_are_not_held_up(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(per_s=1), proc="/proc")
    client = connected(talking)
    began = time.monotonic()
    with child() as app:
        for _ in range(REGISTRATIONS):
            assert client.ask("register", pid=app.pid, priority="background")["registered"]["priority"] == 700
    assert time.monotonic() - began < 60
    assert len(talking.orders) == REGISTRATIONS
    talking.close()


def test_without_rights_the_same_waits_and_loses_nothing(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(burst=3, per_s=50), proc="/proc")
    client = connected(talking, 1000)
    for number in range(10):
        client.send(b'{"v":1,"op":"tell","id":%d}' % number)
    talking.turns(20)
    connection = next(iter(talking.talker.connections.values()))
    assert not connection.may_ask
    assert [client.receive()["id"] for _ in range(10)] == list(range(10))
    talking.close()


def test_others_cannot_take_all_connections(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(clients=16, clients_of_user=10), proc="/proc")
    for uid in (1000, 1001):
        for _ in range(7):
            connected(talking, uid)
    assert len(talking.talker.connections) == 14
    assert talking.talker._has_room(peer(0)) and talking.talker._has_room(peer(5, privileged=True))
    assert not talking.talker._has_room(peer(1002))
    for _ in range(2):
        connected(talking)
    assert not talking.talker._has_room(peer(0))
    talking.close()


def test_one_user_has_his_share_and_the_group_is_no_user(tmp_path: Path) -> None:
    talking = Talking(tmp_path, Limits(clients=16, clients_of_user=3), proc="/proc")
    for _ in range(3):
        connected(talking, 1000)
    assert not talking.talker._has_room(peer(1000)) and talking.talker._has_room(peer(1001))
    assert talking.talker._has_room(peer(1000, privileged=True))
    talking.close()


@pytest.mark.parametrize("distrust", [Talking.distrust, lambda talking, uid: None])
def test_what_others_do_not_read_is_not_held_against_who_may_do_all(
    tmp_path: Path, distrust: Callable[[Any, int], None]
) -> None:
    talking = Talking(tmp_path, Limits(reply_bytes=100_000), proc="/proc")
    recorder = Recorder(talking.exchange)
    for _ in range(15):
        recorder.write(Note("x", (("text", "x" * 3900),)), 1.0)
    stuck = connected(talking, 1000)
    stuck.send(b'{"v":1,"op":"events"}')
    talking.turns(3)
    reader = connected(talking)
    distrust(talking, 1001)
    reader.send(b'{"v":1,"op":"events"}')
    talking.turns(3)
    assert len(talking.talker.connections) == (1 if distrust is Talking.distrust else 2)
    talking.close()


def peer(uid: int, privileged: bool = False) -> Peer:
    return Peer(99, 9, uid, privileged or uid == 0, 9)
