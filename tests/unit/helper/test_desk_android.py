"""The socket for Android's clients: beside the native one, served by the same talker, absent unless asked for."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
from pathlib import Path

from lmkd.guard.exchange import Exchange
from lmkd.guard.record import Recorder
from lmkd.helper.desk import Desk, sockets_of
from lmkd.helper.orders import REGISTER_RECORD, RELOAD
from lmkd.model import Note
from lmkd.values import replace
from tests.unit.guard.test_exchange import close
from tests.unit.helper.test_desk import Bench
from tests.unit.plans import make_plan


def words(*numbers: int) -> bytes:
    return struct.pack(f"!{len(numbers)}i", *numbers)


def test_without_a_path_there_is_no_such_socket(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    assert sockets_of(plan) == (("native", plan.socket),)


def test_both_sockets_are_served_by_one_talker(tmp_path: Path) -> None:
    path = str(tmp_path / "socket" / "lmkd")
    bench = Bench(make_plan(tmp_path, proc="/proc", android_socket=path, control_gid=os.getgid()))
    try:
        bench.exchange.write_status(b'{"level":"calm"}')
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as android,
            bench.client() as native,
            subprocess.Popen(["sleep", "5"]) as app,
        ):
            android.settimeout(10)
            android.connect(path)
            android.send(words(0, 18432, 0))
            android.send(words(1, app.pid, 10101, 900))
            android.send(words(4, -1000, 1000))
            assert android.recv(64) == words(4, 0)
            assert native.status()["android"]["minfree"] == [{"pages": 18432, "adj": 0}]
            assert native.status()["android"]["connections"] == 1
            assert bench.orders == [REGISTER_RECORD]
            app.kill()
    finally:
        bench.close()
    assert not os.path.exists(path)


def test_a_reload_is_answered_though_it_ends_the_helper_and_with_it_the_talker(tmp_path: Path) -> None:
    path = str(tmp_path / "lmkd")
    bench = Bench(make_plan(tmp_path, proc="/proc", android_socket=path, control_gid=os.getgid()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as android:
        try:
            android.settimeout(10)
            android.connect(path)
            android.send(words(7))
            bench.until(lambda: bench.orders == [RELOAD])
            Recorder(bench.exchange).write(Note("reload", ()), 1.0)
        finally:
            bench.close()
        assert android.recv(64) == words(7, 0)
        assert android.recv(64) == b""


def test_android_s_socket_is_for_root_and_the_group_alone_also_when_that_is_another_one(tmp_path: Path) -> None:
    android, exchange = tmp_path / "android" / "lmkd", Exchange()
    groups = sorted({os.getgid(), *os.getgroups(), *((4000,) if os.getuid() == 0 else ())})
    plan = make_plan(tmp_path, proc="/proc", android_socket=str(android), control_gid=groups[0])
    desk = Desk(plan, exchange, select.poll(), lambda pid: None)
    found = android.stat()
    assert (found.st_mode & 0o777, found.st_gid) == (0o660, groups[0])
    assert Path(plan.socket).stat().st_mode & 0o777 == 0o666
    desk.go_by(replace(plan, control_gid=groups[-1]), -1)
    assert android.stat().st_gid == groups[-1]
    desk.close()
    assert not android.exists()
    close(exchange)
