"""The log's targets: real datagram sockets and files in their places, full, gone and back again."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.guard.exchange import Exchange
from lmkd.guard.record import Recorder
from lmkd.helper import log_choice as module
from lmkd.helper.log_choice import ChosenLog
from lmkd.helper.log_targets import KMSG_BYTES, SYSLOG_BYTES, journal_entry, kmsg_line, syslog_line
from lmkd.log import log_targets
from lmkd.model import Note
from lmkd.plan import Ways
from tests.unit.guard.test_exchange import close
from tests.unit.plans import make_plan

KILL = b'{"event":"kill","level":"warning","timestamp":0.5,"seq":3,"pid":7,"name":"my app"}'
ALL = ("journald", "syslog", "kmsg")


class Bench:
    """A logbook whose targets are below a folder; ``has`` are those that are there."""

    def __init__(self, base: Path, to: str, has: tuple[str, ...] = (), **changes: Any) -> None:
        self.base = base
        self.exchange = Exchange()
        self.recorder = Recorder(self.exchange)
        self.sockets: dict[str, socket.socket] = {}
        for name in has:
            self.add(name)
        self.stderr = os.open(base / "stderr", os.O_RDWR | os.O_CREAT)
        names = ALL if to == "auto" else log_targets(to, self.stderr, {})
        plan = make_plan(base, ways=Ways(log_to=names, log_asked=to), **changes)
        paths = {name: str(base / name) for name in ALL}
        self.book = ChosenLog(plan, self.exchange, self.stderr, paths)

    def add(self, name: str) -> None:
        if name == "kmsg":
            (self.base / name).touch()
            return
        made = self.sockets[name] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.bind(str(self.base / name))
        made.setblocking(False)

    def narrow(self, name: str) -> None:
        """Let the target take but a few records at once, however many datagrams this machine lets wait."""
        self.write("first")
        self.received(name)
        assert self.book._target is not None and self.book._target._socket is not None
        self.book._target._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)

    def remove(self, name: str) -> None:
        self.sockets.pop(name).close()
        (self.base / name).unlink()

    def write(self, *events: str, level: str = "info") -> None:
        for event in events:
            self.recorder.write(Note(event, (("pid", 7), ("name", "my app")), level), 1.0)
        self.book.drain()

    def received(self, name: str) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.sockets[name].recv(65536))
            except BlockingIOError:
                return found

    def on_stderr(self) -> list[str]:
        lines = (self.base / "stderr").read_text().splitlines()
        return [json.loads(line.removeprefix("lmkd: "))["event"] for line in lines]

    def said(self) -> list[str]:
        return [str(dict(fields)["feature"]) for event, fields, _ in self.exchange.posts() if event == "degraded"]

    def close(self) -> None:
        self.book.close()
        os.close(self.stderr)
        for made in self.sockets.values():
            made.close()
        close(self.exchange)


@pytest.fixture
def benches(tmp_path: Path) -> Iterator[Any]:
    made: list[Bench] = []

    def make(to: str, *has: str, **changes: Any) -> Bench:
        made.append(Bench(tmp_path, to, has, **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


def test_the_journal_gets_every_field(benches: Any) -> None:
    bench = benches("journald", *ALL)
    bench.write("kill", level="warning")
    (entry,) = bench.received("journald")
    fields = dict(line.split("=", 1) for line in entry.decode().splitlines())
    assert fields["MESSAGE"] == 'kill pid=7 name="my app"'
    assert (fields["PRIORITY"], fields["SYSLOG_IDENTIFIER"]) == ("4", "lmkd")
    assert (fields["LMKD_EVENT"], fields["LMKD_PID"], fields["LMKD_NAME"]) == ("kill", "7", "my app")
    assert (bench.received("syslog"), bench.on_stderr(), bench.said()) == ([], [], [])


def test_syslog_gets_one_line_as_the_c_library_sends_it(benches: Any) -> None:
    bench = benches("syslog", *ALL)
    bench.write("kill", level="error")
    (line,) = bench.received("syslog")
    stamp = time.strftime("%b %e %H:%M", time.localtime())
    assert line.startswith(f"<27>{stamp}".encode()) or line[4:10] == stamp[:6].encode()
    assert line.endswith(f' lmkd[{os.getppid()}]: kill pid=7 name="my app"'.encode())


def test_the_kernels_log_gets_kills_and_errors_alone(benches: Any) -> None:
    bench = benches("kmsg", *ALL)
    bench.write("ready", "pressure")
    bench.write("kill", "escalate", level="warning")
    bench.write("degraded", level="warning")
    bench.write("broken", level="error")
    lines = (bench.base / "kmsg").read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["<28>lmkd:", "kill"], ["<28>lmkd:", "escalate"], ["<27>lmkd:", "broken"],
    ]  # fmt: skip


def test_what_is_not_there_is_replaced_by_the_next_and_said_once(benches: Any) -> None:
    bench = benches("journald", "syslog")
    bench.write("a", "b")
    assert (len(bench.received("syslog")), bench.said()) == (2, ["log to journald"])
    bench.remove("syslog")
    bench.write("c", "d")
    assert (bench.on_stderr(), bench.said()) == (["c", "d"], ["log to syslog"])
    bench.write("e")
    assert (bench.on_stderr(), bench.said()) == (["c", "d", "e"], [])


def test_a_target_that_comes_back_is_used_again(benches: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = benches("journald", "journald")
    bench.write("a")
    bench.remove("journald")
    bench.add("journald")
    bench.write("b")  # at once: the journal was restarted
    assert len(bench.received("journald")) == 1
    bench.remove("journald")
    bench.write("c")
    bench.add("journald")
    bench.write("d")
    assert (bench.on_stderr(), bench.received("journald")) == (["c", "d"], [])
    monkeypatch.setattr(module, "AGAIN_MS", 0.0)
    bench.book._again_ms = 0.0
    bench.write("e")
    assert len(bench.received("journald")) == 1


def test_a_better_target_is_looked_for_while_another_serves(benches: Any) -> None:
    bench = benches("journald", "syslog")
    bench.write("a")
    bench.add("journald")
    bench.write("b")
    bench.book._again_ms = 0.0
    bench.write("c")
    assert (len(bench.received("syslog")), len(bench.received("journald"))) == (2, 1)


def test_records_that_find_no_room_wait_in_the_ring_and_go_out_later(benches: Any) -> None:
    bench = benches("syslog", "syslog")
    bench.narrow("syslog")
    bench.write(*[f"e{number}" for number in range(60)])
    got = bench.received("syslog")
    assert 0 < len(got) < 60
    assert 0 < bench.book.timeout_ms() <= module.PAUSE_MS
    deadline = time.monotonic() + 10
    while bench.book.timeout_ms() is not None:
        assert time.monotonic() < deadline
        if bench.book.timeout_ms() == 0.0:
            bench.book.drain()
        got += bench.received("syslog")
        time.sleep(0.01)
    assert [line.split(b": ")[1].split()[0] for line in got] == [f"e{number}".encode() for number in range(60)]


def test_a_target_that_stays_full_is_tried_less_and_less_often(benches: Any) -> None:
    bench = benches("syslog", "syslog")
    bench.narrow("syslog")
    bench.write(*[f"e{number}" for number in range(60)])
    pauses = []
    for _ in range(10):
        bench.book.drain()
        pauses.append(bench.book._pause_ms)
    assert pauses[0] == 2 * module.PAUSE_MS and pauses[-1] == module.PAUSE_MAX_MS


def test_what_is_less_severe_than_asked_for_is_not_written(benches: Any) -> None:
    bench = benches("syslog", "syslog", log_level="warning")
    bench.write("a")
    bench.write("b", level="warning")
    assert len(bench.received("syslog")) == 1


def test_auto_means_the_journal_where_stderr_leads_there(tmp_path: Path) -> None:
    here = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    found = os.fstat(here)
    null = os.open(os.devnull, os.O_RDWR)
    assert log_targets("auto", here, {}) == ("stderr",)
    assert log_targets("auto", here, {"JOURNAL_STREAM": "1:2"}) == ("stderr",)
    journal = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    assert log_targets("auto", here, journal) == ("journald", "syslog", "stderr")
    assert log_targets("auto", null, {}) == log_targets("auto", -1, {}) == ("journald", "syslog", "kmsg")
    assert log_targets("stderr", null, journal) == ("stderr",)
    os.close(here)
    os.close(null)


def test_what_auto_does_not_find_is_no_degradation(benches: Any) -> None:
    bench = benches("auto", "kmsg")
    bench.write("ready")
    bench.write("kill", level="warning")
    assert ((bench.base / "kmsg").read_text().count("\n"), bench.said()) == (1, [])


def test_with_nobody_to_write_to_the_records_are_in_the_ring(benches: Any) -> None:
    bench = benches("auto")
    bench.write("kill")
    assert (bench.book.timeout_ms(), bench.on_stderr()) == (None, [])


def named(text: str) -> bytes:
    return b'{"event":"kill","name":"%b"}' % text.encode()


@given(st.binary(max_size=1500) | st.text(max_size=1500).map(named))
def test_whatever_a_record_is_no_target_gets_more_than_it_takes(line: bytes) -> None:
    syslog, kmsg, entry = syslog_line(line, 7), kmsg_line(line), journal_entry(line)
    assert len(syslog) <= SYSLOG_BYTES and syslog.startswith(b"<")
    assert kmsg is None or (len(kmsg) <= KMSG_BYTES and kmsg.endswith(b"\n"))
    assert entry.startswith(b"MESSAGE=") and entry.endswith(b"\n")
    syslog.decode()


def test_no_name_can_forge_a_field_of_the_journal(benches: Any) -> None:
    bench = benches("journald", "journald")
    bench.recorder.write(Note("kill", (("name", "x\nPRIORITY=0\n"), ("MESSAGE", "y"), ("a=b", 1)), "info"), 1.0)
    bench.book.drain()
    (entry,) = bench.received("journald")
    keys = [line.partition("=")[0] for line in entry.decode().splitlines()]
    ours = ("EVENT", "LEVEL", "TIMESTAMP", "SEQ", "T_MS", "NAME", "MESSAGE")
    assert keys == ["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", *[f"LMKD_{key}" for key in ours]]


def test_an_old_timestamp_and_an_odd_one_give_a_line_as_well() -> None:
    assert b" lmkd[1]: kill" in syslog_line(KILL, 1)
    assert b" lmkd[1]: kill" in syslog_line(KILL.replace(b"0.5", b"1e300"), 1)
    assert b" lmkd[1]: kill" in syslog_line(KILL.replace(b"0.5", b'"x"'), 1)
