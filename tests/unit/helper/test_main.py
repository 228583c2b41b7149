"""The helper's loop in a real child: it obeys, keeps the table, writes the log, and ends with the guard."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmkd.control.client import ControlClient
from lmkd.errors import ControlError
from lmkd.guard.commands import (
    DRAIN_LOG,
    EXPLAIN,
    FREEZE,
    HOOK,
    KILLED,
    NOTIFY,
    REAP,
    REFRESH,
    REFRESH_URGENT,
    START_BITS,
    STOP,
)
from lmkd.guard.exchange import Exchange
from lmkd.guard.record import Recorder
from lmkd.helper.main import Helper
from lmkd.helper.own_share import NICE_URGENT
from lmkd.helper.registry import Registry
from lmkd.helper.sample import PRESENT
from lmkd.helper.scout import Scout
from lmkd.helper.ways import Ways
from lmkd.kernel.process import read_stat
from lmkd.model import Note
from lmkd.plan import Notice, Plan
from lmkd.plan import Ways as PlannedWays
from lmkd.policy.step import State
from lmkd.values import replace
from tests.unit.guard.test_exchange import close
from tests.unit.kernel.test_freezer import make_group
from tests.unit.plans import FakeProc, make_plan, make_rule


class Bench:
    """A helper over a fake /proc, its exchange, and the log it writes."""

    def __init__(self, plan: Plan, log: int) -> None:
        self.exchange = Exchange()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.exchange.become_helper()
                Helper(plan, self.exchange, os.getppid(), log).run()
                os._exit(0)
            finally:
                os._exit(1)
        self.posts: list[tuple[str, dict[str, object]]] = []

    def until(self, found: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not found():
            assert time.monotonic() < deadline, self.posts
            self.posts += [(event, dict(fields)) for event, fields, _ in self.exchange.posts()]
            time.sleep(0.005)

    def posted(self, event: str) -> dict[str, object]:
        self.until(lambda: event in dict(self.posts))
        return dict(self.posts)[event]

    def ended(self) -> int:
        descriptor = os.pidfd_open(self.pid)
        watch = select.poll()
        watch.register(descriptor, select.POLLIN)
        if not watch.poll(20_000):
            os.kill(self.pid, signal.SIGKILL)
        os.close(descriptor)
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.ended()
        for descriptor in (self.exchange.reader, self.exchange.post_reader, self.exchange.post_writer):
            os.close(descriptor)
        if self.exchange.writer >= 0:
            os.close(self.exchange.writer)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    proc = FakeProc(tmp_path)
    (proc.root / "self").mkdir()
    (proc.root / "self" / "mounts").write_text(f"cgroup2 {tmp_path}/cgroup cgroup2 rw 0 0\n")
    (proc.root / "self" / "mountinfo").write_text("30 1 0:99 / /dev/shm rw - tmpfs tmpfs rw\n")
    make_group(tmp_path, "/app", "10\n")
    proc.add(10, comm=b"app", cgroup="/app")
    return proc


@pytest.fixture
def plan(tmp_path: Path, proc: FakeProc) -> Plan:
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\nexit 3\n")
    hook.chmod(0o755)
    ways = PlannedWays(level_file=str(tmp_path / "run" / "level"))
    return make_plan(tmp_path, rules=(make_rule("comm", "app", on_kill=str(hook)), make_rule("comm", "b")), ways=ways)


@pytest.fixture
def bench(tmp_path: Path, plan: Plan) -> Iterator[Bench]:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    made = Bench(plan, log)
    os.close(log)
    yield made
    made.close()


def test_it_says_when_it_is_ready_and_there_is_a_table(bench: Bench) -> None:
    assert bench.posted("helper_started")["pid"] == bench.pid
    assert [row.pid for row in (bench.exchange.table().row(0),)] == [10]


def test_it_measures_again_when_asked(bench: Bench, proc: FakeProc) -> None:
    bench.posted("helper_started")
    proc.add(10, comm=b"app", anon_kib=99999)
    bench.exchange.ask(REFRESH)
    bench.until(lambda: bench.exchange.table().row(0).resident_kib == 99999)


@pytest.mark.parametrize("pool", ["zsmalloc", "zbud"])
def test_it_looks_into_pages_where_the_store_packs_by_size(tmp_path: Path, proc: FakeProc, pool: str) -> None:
    for pid, kept in ((10, 64), (20, 4096)):
        folder = proc.add(pid, comm=b"app", anon_kib=2048, swapped_kib=10_000, cgroup="/app")
        (folder / "maps").write_bytes(b"00000000-00010000 rw-p 00000000 00:00 0\n")
        (folder / "pagemap").write_bytes(struct.pack("=16Q", *[PRESENT] * 16))
        (folder / "mem").write_bytes((os.urandom(kept) + bytes(4096 - kept)) * 16)
    (tmp_path / "zpool").write_text(f"{pool}\n")
    (tmp_path / "max_pool_percent").write_text("30\n")
    log = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    bench = Bench(make_plan(tmp_path, zswap_limit=str(tmp_path / "max_pool_percent")), log)
    try:
        bench.posted("helper_started")
        rows = [bench.exchange.table().row(at) for at in (0, 1)]
        assert (rows[0].gain_kib < rows[1].gain_kib) is (pool == "zsmalloc")
    finally:
        bench.close()
        os.close(log)


def test_it_writes_the_records_to_the_log_once(bench: Bench, tmp_path: Path) -> None:
    bench.posted("helper_started")
    recorder = Recorder(bench.exchange)
    for number in range(3):
        recorder.write(Note("ready", (("number", number),)), 1.0)
        bench.exchange.ask(DRAIN_LOG)
    bench.until(lambda: (tmp_path / "log").read_bytes().count(b"\n") == 3)
    lines = (tmp_path / "log").read_text().splitlines()
    assert all(line.startswith('lmkd: {"event":"ready"') for line in lines)
    bench.exchange.ask(STOP)
    assert bench.ended() == 0
    assert (tmp_path / "log").read_bytes().count(b"\n") == 3


def test_it_reports_what_came_of_reaping_explaining_and_hooks(bench: Bench) -> None:
    bench.exchange.ask(REAP, 2**22 + 5)
    assert bench.posted("reap") == {"pid": 2**22 + 5, "outcome": "gone"}
    bench.exchange.ask(EXPLAIN, 1000)
    assert bench.posted("futile")["mount"] == "/dev/shm"
    bench.exchange.ask(HOOK, 10, 99)
    bench.exchange.ask(HOOK, 10, 1)
    bench.exchange.ask(HOOK, 10, 0)
    bench.exchange.ask(DRAIN_LOG)
    assert bench.posted("hook")["outcome"] == "ended with 3"


def test_what_a_client_sets_is_ranked_for_the_guard_at_once_and_outlives_the_helper(
    bench: Bench, plan: Plan, proc: FakeProc
) -> None:
    proc.add(20, comm=b"player", uid=0)
    bench.posted("helper_started")
    with ControlClient(plan.socket) as client:
        changed = client.set_priority(20, "background")
        assert (changed["priority"], changed["previous"], changed["name"]) == (700, 0, "player")
        table = bench.exchange.table()
        place = table.index_of(20)
        assert place is not None and table.row(place).priority == 700
        assert client.clear(20)["priority"] == 0
        assert client.set_priority(20, 850)["class"] == "background"
        with pytest.raises(ControlError, match="no process 21"):
            client.set_priority(21, 0)
    assert bench.posted("set")["pid"] == 20
    assert Registry(bench.exchange.slots).pids() == [20]
    bench.exchange.ask(STOP)
    assert bench.ended() == 0


def test_a_kill_that_a_client_asks_for_reaches_the_guard(bench: Bench, plan: Plan, proc: FakeProc) -> None:
    proc.add(20, comm=b"player", uid=0)
    bench.posted("helper_started")
    with ControlClient(plan.socket) as client:
        assert client.kill(20)["name"] == "player"
        client.trim(kib=100)
    assert bench.posted("kill_asked")["pid"] == 20


def test_those_registered_as_a_group_end_together(bench: Bench, proc: FakeProc, plan: Plan) -> None:
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    try:
        for child in children:
            stat = read_stat("/proc", child.pid)
            assert stat is not None
            proc.add(child.pid, comm=b"pair", start=stat.start_ticks)
        bench.posted("helper_started")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(plan.socket)
            for child in children:
                client.send(b'{"v":1,"op":"register","group":"pair","pid":%d}' % child.pid)
                assert b'"ok":true' in client.recv(4096)
        bench.exchange.ask(KILLED, children[0].pid, 1)
        assert bench.posted("group")["pids"] == (children[1].pid,)
        assert children[1].wait(10) == -signal.SIGKILL
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_it_tells_the_level_when_the_guard_says_that_it_changed(bench: Bench, plan: Plan) -> None:
    bench.posted("helper_started")
    file = Path(plan.ways.level_file)
    assert file.read_text().startswith("level=calm ")
    bench.exchange.notices.tell_level("calm", State(level="critical"), 5.0, "")
    bench.exchange.ask(NOTIFY, 0, 3)
    bench.until(lambda: file.read_text().startswith("level=critical previous=calm t_ms=5 "))
    bench.exchange.ask(STOP)
    assert bench.ended() == 0
    assert file.read_text().startswith("level=unknown ")


def test_the_level_is_told_ahead_of_others_and_the_rest_of_what_is_asked_is_not(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = Exchange()
    helper = Helper(plan, exchange, os.getppid())
    said: list[object] = []
    monkeypatch.setattr(helper._share, "take", said.append)
    monkeypatch.setattr(helper._share, "hurry", lambda: said.append("hurry"))
    monkeypatch.setattr(helper._ways, "tell", lambda commands: said.append("tell"))
    monkeypatch.setattr(helper, "_refresh", lambda: said.append("refresh"))
    exchange.ask(NOTIFY, 0, 3)
    exchange.ask(REFRESH_URGENT)
    helper._obey()
    assert said == ["hurry", "tell", NICE_URGENT, "refresh"]
    helper._care.close()
    helper._desk.close()
    if helper._events >= 0:
        os.close(helper._events)
    close(exchange)


def test_in_a_dry_run_nobody_is_told(tmp_path: Path, plan: Plan) -> None:
    notice = Notice(0, "", 1, int(signal.SIGUSR1), ("/bin/true",), 1000)
    plan = replace(plan, dry_run=True, ways=replace(plan.ways, notices=(notice,), metrics_file="/x"))
    exchange = Exchange()
    ways = Ways(plan, exchange, Scout(plan, (), exchange.post))
    assert not Path(plan.ways.level_file).exists()
    exchange.notices.tell_level("calm", State(level="critical"), 5.0, "")
    ways.tell([(NOTIFY, 0, 3)])
    assert (exchange.posts(), ways.timeout_ms()) == ([], None)
    close(exchange)


def test_it_ends_when_told(bench: Bench, plan: Plan) -> None:
    bench.posted("helper_started")
    assert Path(plan.socket).is_socket()
    bench.exchange.ask(STOP)
    assert bench.ended() == 0
    assert not Path(plan.socket).exists()


def test_it_ends_when_the_guard_has_died_and_obeys_what_was_asked_before(bench: Bench) -> None:
    bench.posted("helper_started")
    bench.exchange.ask(REAP, 2**22 + 5)
    os.close(bench.exchange.writer)
    bench.exchange.writer = -1
    assert bench.ended() == 0
    assert bench.posted("reap")["outcome"] == "gone"


def test_that_the_guard_has_died_is_the_last_word_to_the_kernels_log(bench: Bench, plan: Plan) -> None:
    kmsg = Path(plan.proc).parent / "dev" / "kmsg"
    kmsg.parent.mkdir()
    kmsg.touch()
    bench.posted("helper_started")
    os.close(bench.exchange.writer)
    bench.exchange.writer = -1
    assert bench.ended() == 0
    assert kmsg.read_text().startswith("<27>lmkd: the guard has died")


def test_a_good_end_needs_no_last_word(bench: Bench, plan: Plan) -> None:
    kmsg = Path(plan.proc).parent / "dev" / "kmsg"
    kmsg.parent.mkdir()
    kmsg.touch()
    bench.posted("helper_started")
    bench.exchange.ask(STOP)
    assert (bench.ended(), kmsg.read_text()) == (0, "")


def test_a_hook_does_not_outlive_the_helper_that_bounds_its_time(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "hook").write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/pid.new; mv {tmp_path}/pid.new "
                                   f"{tmp_path}/pid; wait\n")  # fmt: skip
    bench.posted("helper_started")
    bench.exchange.ask(HOOK, 10, 0)
    bench.exchange.ask(DRAIN_LOG)
    bench.until((tmp_path / "pid").exists)
    bench.exchange.ask(STOP)
    assert bench.ended() == 0
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    bench.until(lambda: not stat.exists() or ") Z" in stat.read_text())


def freeze(bench: Bench, base: Path, ms: int) -> Path:
    """Have it freeze process 10, which has a group of its own; the group's file."""
    file = base / "cgroup" / "app" / "cgroup.freeze"
    bench.posted("helper_started")
    bench.exchange.ask(FREEZE, 10, 1000 | ms << START_BITS)
    assert bench.posted("freeze")["how"] == "cgroup"
    return file


def test_who_is_frozen_is_thawed_in_time_though_nothing_else_happens(bench: Bench, tmp_path: Path) -> None:
    file = freeze(bench, tmp_path, 50)
    assert bench.posted("release")["reason"] == "its time is over"
    assert file.read_text()[0] == "0"


def test_who_is_frozen_is_thawed_when_the_guard_has_died(bench: Bench, tmp_path: Path) -> None:
    file = freeze(bench, tmp_path, 60_000)
    assert file.read_text()[0] == "1"
    os.close(bench.exchange.writer)
    bench.exchange.writer = -1
    assert bench.ended() == 0
    assert file.read_text()[0] == "0"


def test_the_next_helper_thaws_what_one_that_was_killed_has_left(
    bench: Bench, plan: Plan, tmp_path: Path
) -> None:
    file = freeze(bench, tmp_path, 60_000)
    os.kill(bench.pid, signal.SIGKILL)
    assert bench.ended() == -signal.SIGKILL
    assert file.read_text()[0] == "1"
    following = Bench(plan, bench.exchange.post_writer)
    try:
        assert following.posted("release")["reason"] == "a helper that died had stopped it"
        assert file.read_text()[0] == "0"
    finally:
        following.close()


def test_a_log_that_nobody_reads_does_not_hold_it_up(plan: Plan) -> None:
    reader, writer = os.pipe()
    bench = Bench(plan, writer)
    os.close(writer)
    try:
        bench.posted("helper_started")
        recorder = Recorder(bench.exchange)
        for number in range(60):
            recorder.write(Note("ready", (("number", number), ("text", "x" * 2000)), "info"), 1.0)
            bench.exchange.ask(DRAIN_LOG)
            if number % 10 == 0:
                time.sleep(0.02)
        bench.exchange.ask(REAP, 2**22 + 5)
        assert bench.posted("reap")["outcome"] == "gone"
    finally:
        os.close(reader)
        bench.close()
