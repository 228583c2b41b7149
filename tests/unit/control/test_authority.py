"""Who may do what, with real credentials of real processes where that is possible."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmkd.control.authority import peer_of, read_process, uid_of
from lmkd.control.hands import Peer, Wish
from lmkd.control.order_hands import OrderHands
from lmkd.errors import ControlError
from lmkd.guard.exchange import Exchange
from lmkd.helper import orders
from lmkd.helper.entry import PRIVILEGED
from lmkd.helper.orders import ANSWER, ORDER
from lmkd.values import replace
from tests.unit.guard.test_exchange import close
from tests.unit.plans import FakeProc, make_plan, make_rule

ROOT, USER = Peer(1, 5, 0, True, 50), Peer(2, 6, 1000, False, 60)
CLIENT = """
import os, socket, sys
os.setgroups([int(group) for group in sys.argv[3].split(",") if group])
os.setresgid(*[int(sys.argv[2])] * 3)
os.setresuid(*[1234] * 3)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
    connection.connect(sys.argv[1])
    connection.recv(1)
"""
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become others")


class Bench:
    """Hands whose helper's end is the test's."""

    def __init__(self, base: Path) -> None:
        self.proc = FakeProc(base)
        self.proc.add(10, uid=1000)
        self.proc.add(11, uid=0)
        self.proc.add(12, kernel=True)
        self.proc.add(13, state="Z")
        plan = make_plan(base, control_group="lmkd", rules=(make_rule("comm", "x"),))
        self.exchange = Exchange()
        self.helper, self.ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.helper.setblocking(False)
        self.ours.setblocking(False)
        self.hands = OrderHands(plan, self.exchange, self.ours)

    def order(self) -> tuple[Any, ...]:
        return ORDER.unpack(self.helper.recv(256))

    def close(self) -> None:
        self.helper.close()
        self.ours.close()
        close(self.exchange)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def connected(tmp_path: Path, gid: int, groups: str, control_gid: int) -> Peer:
    """The peer that a process of uid 1234 and these groups is."""
    path = str(tmp_path / "s")
    tmp_path.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen()
        listener.settimeout(20)
        command = [sys.executable, "-I", "-S", "-c", CLIENT, path, str(gid), groups]
        for folder in tmp_path.parents:
            if folder.stat().st_uid == 0 and str(folder) != "/" and "pytest" in folder.name:
                folder.chmod(0o755)
        with subprocess.Popen(command) as client:
            connection, _ = listener.accept()
            with connection:
                peer = peer_of(connection, 3, control_gid, "/proc")
                assert (peer.pid, peer.uid, peer.number) == (client.pid, 1234, 3)
                assert peer.start_ticks == read_process("/proc", client.pid).start_ticks
    return peer


@needs_root
@pytest.mark.parametrize(
    ("gid", "groups", "control_gid", "privileged"),
    [
        (4000, "", 4000, True),
        (5, "6,4000,7", 4000, True),
        (5, ",".join(map(str, range(3900, 4030))), 4000, True),
        (5, "6,7", 4000, False),
        (5, "6,7", -1, False),
    ],
)
def test_the_group_counts_be_it_the_own_or_another_one(
    tmp_path: Path, gid: int, groups: str, control_gid: int, privileged: bool
) -> None:
    assert connected(tmp_path, gid, groups, control_gid).privileged is privileged


@needs_root
def test_root_is_privileged_without_any_group() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        assert peer_of(theirs, 1, -1, "/proc").privileged


def test_a_process_of_several_users_is_nobodys() -> None:
    assert uid_of(b"Name:\tx\nUid:\t5\t5\t5\t5\nGid:\t1\n") == 5
    assert uid_of(b"Name:\tx\nUid:\t5\t0\t0\t0\n") == -1
    assert uid_of(b"Name:\tx\nUid:\t5\t5\t0\t5\n") == -1
    assert uid_of(b"") == -1 and uid_of(b"\nUid:\t5") != 0


def test_only_processes_can_be_meant(bench: Bench) -> None:
    for pid in (12, 13, 14, 0, -1):
        with pytest.raises(ControlError, match="there is no process"):
            bench.hands.process(pid)
    with pytest.raises(ControlError, match="lmkd's own"):
        bench.proc.add(os.getpid())
        bench.hands.kill(ROOT, os.getpid())


def test_a_user_orders_for_his_own_processes_only(bench: Bench) -> None:
    hands = bench.hands
    others: list[Callable[[], int]] = [
        lambda: hands.register(USER, Wish(11, 900)), lambda: hands.remove(USER, 11), lambda: hands.trim(USER, 11, 0)
    ]  # fmt: skip
    for ask in others:
        with pytest.raises(ControlError, match="another user's: only root and the group lmkd may"):
            ask()
    roots: list[Callable[[], int]] = [
        lambda: hands.kill(USER, 10), lambda: hands.reload(USER), lambda: hands.trim(USER, 0, 0)
    ]  # fmt: skip
    for ask in roots:
        with pytest.raises(ControlError, match="only root and the group lmkd may do that"):
            ask()
    assert bench.hands.take_numbers() == []
    bench.hands.register(USER, Wish(10, 900, "näme"))
    number, operation, flags, priority, pid, start, uid, owner, owner_start, _, _, name = bench.order()
    assert (number, operation, priority, pid, start, uid) == (1, orders.REGISTER, 900, 10, 1000, 1000)
    assert (owner, owner_start, flags & PRIVILEGED) == (6, 60, 0)
    assert bytes(name).rstrip(b"\0") == "näme".encode()


def test_who_lives_in_another_pid_namespace_can_mean_only_itself(bench: Bench) -> None:
    stranger = replace(ROOT, pid=10, start_ticks=1000, foreign=True)
    asks: list[Callable[[int], int]] = [
        lambda pid: bench.hands.register(stranger, Wish(pid, 900)), lambda pid: bench.hands.remove(stranger, pid),
        lambda pid: bench.hands.trim(stranger, pid, 0), lambda pid: bench.hands.kill(stranger, pid),
    ]  # fmt: skip
    for ask in asks:
        with pytest.raises(ControlError, match="pid namespace: leave pid out"):
            ask(11)
        ask(10)
        assert bench.order()[4] == 10


def test_who_has_the_process_id_of_a_peer_that_is_gone_is_not_the_peer(bench: Bench) -> None:
    for start in (999, 0):
        gone = replace(ROOT, pid=10, start_ticks=start)
        with pytest.raises(ControlError, match="process 10, which has connected, is gone"):
            bench.hands.register(gone, Wish(10, -1000))
    assert bench.hands.take_numbers() == []


@pytest.mark.parametrize(("other", "foreign"), [("pid:[1]", False), ("pid:[2]", True), ("", False)])
def test_a_peer_of_another_pid_namespace_is_known(bench: Bench, other: str, foreign: bool) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for pid, text in (("self", "pid:[1]"), (str(os.getpid()), other)):
        folder = bench.proc.root / pid / "ns"
        folder.mkdir(parents=True, exist_ok=True)
        if text:
            (folder / "pid").symlink_to(text)
    with ours, theirs:
        assert peer_of(theirs, 1, -1, str(bench.proc.root)).foreign is foreign


def test_root_orders_for_all_and_its_orders_say_so(bench: Bench) -> None:
    for order in (bench.hands.kill, bench.hands.remove):
        order(ROOT, 11)
        assert bench.order()[2] & PRIVILEGED
    bench.hands.reload(ROOT)
    bench.hands.purge(ROOT)
    assert [bench.order()[1], bench.order()[1]] == [orders.RELOAD, orders.PURGE]
    assert bench.hands.take_numbers() == [1, 2, 3, 4]


def test_a_name_that_is_too_long_is_refused(bench: Bench) -> None:
    with pytest.raises(ControlError, match="32 bytes"):
        bench.hands.register(ROOT, Wish(11, name="ü" * 17))


def test_a_helper_that_is_behind_or_gone_is_told(bench: Bench) -> None:
    with pytest.raises(ControlError, match="behind with its orders"):
        for _ in range(100_000):
            bench.hands.reload(ROOT)
    bench.helper.close()
    with pytest.raises(ControlError, match="helper has gone"):
        bench.hands.reload(ROOT)
    assert bench.hands.answers() is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (orders.DONE, ""),
        (orders.RULED, "lmkd.yaml:7 gives its priority"),
        (orders.RAISES, "more important"),
        (orders.HELD, "set by root"),
        (orders.PROTECTED, "protected"),
        (orders.FULL, "no room"),
        (orders.GONE, "no such process"),
        (orders.IDLE, "paged out"),
        (99, "does not know"),
    ],
)
def test_every_answer_has_words(bench: Bench, code: int, words: str) -> None:
    bench.helper.send(ANSWER.pack(9, code, 900, 300, 0))
    ((number, answer),) = bench.hands.answers() or []
    assert (number, answer.priority, answer.previous) == (9, 900, 300)
    assert words in answer.error and bool(words) == bool(answer.error)
