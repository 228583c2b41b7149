"""A client in C with the protocol's structures of its own, against sessions on a real socket; and ten thousand messages
of chance."""

from __future__ import annotations

import gc
import os
import random
import shutil
import socket
import struct
import subprocess
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.control.android_session import AndroidSession
from lmkd.control.android_shared import Shared
from lmkd.control.hands import EVENT, VICTIM, Peer
from tests.unit.control.android_fakes import FakeHands, Served, kill_record, served, victim
from tests.unit.control.test_android import GOLDEN
from tests.unit.source_tree import ROOT

SOURCE = ROOT / "tests/board/guest/android.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
needs_a_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler here: layouts are not compared")

STARTED_NS = 110 * 10**9 // os.sysconf("SC_CLK_TCK")
COMMANDS = (
    "target 18432 0",
    None,
    "prio 1234 10101 -900",
    "prio4 1234 10101 900 1",
    "prio5 1234 4294967295 900 0 1",
    "remove 1234",
    "purge",
    "count -1000 1000",
    "subscribe 0",
    "subscribe 1",
    "props",
    "monitor",
    "boot",
    None,
    None,
)
"""The client's words for each golden message; None: it has none for it."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> str:
    assert COMPILER is not None
    binary = tmp_path_factory.mktemp("android") / "client"
    subprocess.run([COMPILER, "-Wall", "-Wextra", "-Werror", "-o", str(binary), str(SOURCE)], check=True)
    return str(binary)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "lmkd") as made:
        made.hands.alive = dict.fromkeys(range(1, 100), 1000) | {os.getpid(): os.getuid()}
        yield made


def run(client: str, path: Path, script: str) -> list[str]:
    """What the client printed, without its first line."""
    command = [client, str(path / "lmkd"), *script.split()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[1:]


@needs_a_compiler
def test_the_layouts_of_the_client_are_ours(client: str) -> None:
    pairs = [(words, message) for words, (message, _) in zip(COMMANDS, GOLDEN, strict=True) if words]
    ran = subprocess.run(
        [client, "-", *" ".join(words for words, _ in pairs).split()], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [message.replace(" ", "") for _, message in pairs]


@needs_a_compiler
def test_a_client_registers_and_is_counted(client: str, server: Served, tmp_path: Path) -> None:
    server.hands.kills = [900, 0]
    script = f"purge target 18432 0 prio {os.getpid()} 10101 900 batch 11 12 10102 -800 prio5 13 0 100 0 1 count 1 1000"
    assert run(client, tmp_path, script) == ["reply 4 1"]
    assert {pid: found.priority for pid, found in server.hands.registry.items()} == {
        os.getpid(): 900, 11: -800, 12: -800, 13: 100,
    }  # fmt: skip
    assert run(client, tmp_path, "remove 11 count 1 1000 boot props monitor count 1001 1001") == [
        "reply 4 1", "reply 10 0", "reply 7 0", "reply 4 2",
    ]  # fmt: skip
    assert 11 not in server.hands.registry
    assert run(client, tmp_path, "purge boot") == ["reply 10 1"]
    assert server.hands.registry == {}
    assert server.shared.status(server.hands)["refused"] == 0


@needs_a_compiler
def test_a_client_that_asks_nonsense_goes_on(client: str, server: Served, tmp_path: Path) -> None:
    assert run(client, tmp_path, "raw 0 raw 6 raw 8 raw 99 raw -1 subscribe 9 prio 1 0 5000 count 0 0") == ["reply 4 0"]
    assert server.shared.status(server.hands)["refused"] == 7


@needs_a_compiler
def test_a_record_belongs_to_the_process_that_registered_it(client: str, server: Served, tmp_path: Path) -> None:
    script = "prio 11 0 900 count 0 0 hold"
    command = [client, str(tmp_path / "lmkd"), *script.split()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == f"connected {first.pid}\n"
        assert first.stdout.readline() == "reply 4 0\n"
        assert run(client, tmp_path, "prio 11 0 0 remove 11 purge count 0 0") == ["reply 4 0"]
        assert server.hands.registry[11].priority == 900
        assert server.hands.registry[11].owner == first.pid
        first.communicate("", timeout=20)
    assert run(client, tmp_path, "prio 11 0 0 count 0 0") == ["reply 4 0"]
    assert server.hands.registry[11].priority == 0


@needs_a_compiler
@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("prio 11 10101 900 subscribe 0 count 0 0 notices 1", ["killed 11 10101"]),
        ("prio5 11 10101 900 0 0 subscribe 0 count 0 0 notices 1", ["killed 11 10101 20480"]),
        (
            "prio 11 10101 900 subscribe 0 subscribe 1 count 0 0 notices 2",
            [
                "killed 11 10101",
                f"statistics app 10101 900 -999 4096 -1 8 -1 -1 -1 -1 {20 << 20} -1 0 {STARTED_NS}",
            ],
        ),
    ],
)
def test_a_client_sees_its_kill(client: str, server: Served, tmp_path: Path, script: str, seen: list[str]) -> None:
    server.hands.rows = [{"pid": 11, "resident_kib": 20480, "swapped_kib": 0}]
    command = [client, str(tmp_path / "lmkd"), *script.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscriber:
        assert subscriber.stdout is not None
        subscriber.stdout.readline()
        assert subscriber.stdout.readline() == "reply 4 0\n"
        server.notify(VICTIM, victim(11))
        server.notify(EVENT, kill_record(11))
        assert subscriber.communicate(timeout=20)[0].splitlines() == seen


def messages(count: int, chance: random.Random) -> Iterator[bytes]:
    """Random bytes, valid messages, and valid ones with a part cut off, added or changed."""
    valid = [bytes.fromhex(message) for message, _ in GOLDEN]
    for _ in range(count):
        message = bytearray(chance.choice(valid) if chance.random() < 0.8 else chance.randbytes(chance.randrange(80)))
        kind = chance.randrange(5)
        if kind == 0:
            message = message[: chance.randrange(len(message) + 1)]
        elif kind == 1:
            message += chance.randbytes(chance.randrange(1, 100))
        elif kind == 2 and message:
            message[chance.randrange(len(message))] = chance.randrange(256)
        elif kind == 3:
            message += struct.pack("!i", chance.choice((0, -1, 2**31 - 1, 900)))
        yield bytes(message)


def test_ten_thousand_messages_of_chance_raise_nothing_and_leave_nothing() -> None:
    chance = random.Random(5)
    hands, shared = FakeHands(), Shared()
    hands.alive = dict.fromkeys(range(-5, 5000), 0)
    clients = [AndroidSession(Peer(number, 7000 + number % 3, 0, True), hands, shared) for number in range(8)]
    started_s = time.process_time()

    def feed(count: int) -> None:
        for message in messages(count, chance):
            client = chance.choice(clients)
            client.feed(message)
            while hands.orders:
                for number, answer in hands.carry_out():
                    client.answered(number, answer)
            for event in ("kill", chance.choice(("reload", "reload_failed"))):
                client.notify(EVENT, {"event": event, "pid": chance.randrange(5000)}, 0)
            client.notify(VICTIM, victim(chance.randrange(5000), chance.randrange(10**9)), 0)
            assert not client.waiting

    feed(10_000)
    gc.collect()
    tracemalloc.start()
    feed(1_000)
    gc.collect()
    first_bytes = tracemalloc.get_traced_memory()[0]
    feed(10_000)
    gc.collect()
    grown_bytes = tracemalloc.get_traced_memory()[0] - first_bytes
    tracemalloc.stop()
    assert grown_bytes < 100_000
    assert time.process_time() - started_s < 60


def test_ten_thousand_messages_of_chance_over_a_socket(server: Served, tmp_path: Path) -> None:
    chance = random.Random(6)
    started_s = time.process_time()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(str(tmp_path / "lmkd"))
        for message in messages(10_000, chance):
            if message:  # an empty one reads as the end
                connection.send(message)
            while _readable(connection):
                connection.recv(256)
        connection.settimeout(10)
        connection.send(bytes.fromhex("00000004 00000000 00000000"))
        while connection.recv(256) != bytes.fromhex("00000004 00000000"):
            pass
    assert time.process_time() - started_s < 60


def _readable(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False
