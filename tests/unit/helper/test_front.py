"""The order of the processor, on real children: what is in front goes first while memory is short, and not longer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lmkd.guard.act import NICE_FRONT
from lmkd.guard.commands import REFRESH, TRIM
from lmkd.helper import front as module
from lmkd.helper import own_share as share_module
from lmkd.helper.front import AGAIN_MS, FRONT_MAX, LIST_NAME, NICE_RECLAIM, Front
from lmkd.helper.own_share import NICE_CALM, NICE_RAISED, NICE_URGENT, OwnShare
from lmkd.helper.raised import parse
from lmkd.kernel.nice import NICE_LOWEST, reclaim_threads
from lmkd.kernel.process import read_stat
from lmkd.model import FLAG_DECLARED_FOREGROUND, Candidate
from lmkd.policy.pressure import LEVELS
from tests.unit.guard.children import child, needs_nice
from tests.unit.helper.test_reniced import BREEDER, threads
from tests.unit.helper.test_stopped import state_of, until
from tests.unit.plans import FakeProc, make_candidate

CALM, LOW = LEVELS.index("calm"), LEVELS.index("low")
FORKER = """
import os, sys, time
print("ready", flush=True)
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        time.sleep(60)
    print(pid, flush=True)
"""


LEADERLESS = """
import ctypes, signal, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
signal.signal(signal.SIGUSR1, lambda number, frame: ctypes.CDLL(None).pthread_exit(None))
print("ready", flush=True)
time.sleep(60)
"""


def nice(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def row_of(pid: int, priority: int = 0, **changes: Any) -> Candidate:
    stat = read_stat("/proc", pid)
    assert stat is not None
    return make_candidate(pid, priority, start_ticks=stat.start_ticks, **changes)


def breed(pid: int) -> int:
    """A thread that the kernel gives the share it has at its birth."""
    before = set(threads(pid))
    os.kill(pid, signal.SIGUSR1)
    until(lambda: len(threads(pid)) > len(before))
    (born,) = set(threads(pid)) - before
    return born


class Bench:
    """A front over the real /proc that knows only the test's children; ``kswapd`` is one of them."""

    def __init__(self, base: Path, kswapd: int = 0, wanted: bool = True) -> None:
        self.reports: list[tuple[str, dict[str, Any], str]] = []
        self.list = base / LIST_NAME
        reclaim = [(kswapd, row_of(kswapd).start_ticks)] if kswapd else []
        self.front = Front("/proc", str(base), self._report, wanted, lambda proc: reclaim)

    def know(self, rows: list[Candidate], grower: int = 0) -> None:
        self.front.renew(rows)
        self.front.looked(grower)

    def level(self, index: int) -> None:
        self.front.obey([(REFRESH, 0, 0)], index)

    def _report(self, event: str, fields: tuple[tuple[str, object], ...], level: str) -> None:
        self.reports.append((event, dict(fields), level))


@pytest.fixture
def two() -> Iterator[tuple[int, int]]:
    with child() as one, child() as other:
        yield one.pid, other.pid


@needs_nice
def test_what_is_in_front_goes_first_then_the_reclaim_while_memory_is_short(tmp_path: Path, two: Any) -> None:
    pid, other = two
    own = nice(pid)
    with child() as kswapd:
        bench = Bench(tmp_path, kswapd.pid)
        bench.know([row_of(pid), row_of(other, 900)])
        bench.level(CALM)
        assert nice(pid) == own and bench.front.timeout_ms() is None
        bench.level(LOW)
        assert (nice(pid), nice(kswapd.pid), nice(other)) == (NICE_FRONT, NICE_RECLAIM, own)
        assert bench.list.exists() and bench.front.timeout_ms() is None
        bench.level(CALM)
        assert bench.front.timeout_ms() == 0.0
        bench.front.turn()
        assert (nice(pid), nice(kswapd.pid), bench.list.exists()) == (own, own, False)
    fields = {"processes": 2, "nice": NICE_FRONT, "reclaim": NICE_RECLAIM, "reason": "memory is short"}
    after = {"processes": 0, "reason": "memory is made ready in time"}
    assert bench.reports == [("front", fields, "info"), ("front", after, "info")]


@needs_nice
def test_a_crowd_is_more_than_a_front(tmp_path: Path, two: Any) -> None:
    bench = Bench(tmp_path)
    bench.know([row_of(two[0])])
    seen = []
    for level in (LOW, LOW + 1):
        bench.level(level)
        seen.append((bench.front.raised, bench.front.crowded))
    bench.front.put_back("the test is over")
    assert [*seen, (bench.front.raised, bench.front.crowded)] == [(True, False), (True, True), (False, False)]


@needs_nice
def test_one_that_grows_fast_is_reason_enough_for_a_while(tmp_path: Path, two: Any) -> None:
    pid, own = two[0], nice(two[0])
    bench = Bench(tmp_path)
    bench.know([row_of(pid)])
    bench.front.hurry(30_000)
    assert nice(pid) == NICE_FRONT
    left_ms = bench.front.timeout_ms()
    assert left_ms is not None and 20_000 < left_ms <= 30_000
    bench.front.turn()
    assert nice(pid) == NICE_FRONT
    bench.front.put_back("the test is over")
    assert nice(pid) == own


@needs_nice
@pytest.mark.parametrize(("kib", "raised"), [(0, False), (1, True)])
def test_little_that_is_ready_is_a_reason_as_well(tmp_path: Path, two: Any, kib: int, raised: bool) -> None:
    bench = Bench(tmp_path)
    bench.know([row_of(two[0])])
    bench.front.obey([(TRIM, 0, kib)], CALM)
    assert bench.front.raised == raised
    bench.front.put_back("the test is over")


@needs_nice
def test_who_leaves_the_front_or_grows_is_lowered_and_who_comes_is_raised(tmp_path: Path, two: Any) -> None:
    pid, other = two
    own = nice(pid)
    bench = Bench(tmp_path)
    bench.know([row_of(pid)])
    bench.level(LOW)
    bench.know([row_of(pid, 700), row_of(other, 300, flags=FLAG_DECLARED_FOREGROUND)])
    assert (nice(pid), nice(other)) == (own, NICE_FRONT)
    bench.know([row_of(pid), row_of(other)], other)
    assert (nice(pid), nice(other)) == (NICE_FRONT, NICE_FRONT), "it may have begun just now"
    bench.know([row_of(pid), row_of(other)], other)
    assert (nice(pid), nice(other)) == (NICE_FRONT, own)
    bench.know([row_of(pid), row_of(other, flags=FLAG_DECLARED_FOREGROUND)], other)
    assert (nice(pid), nice(other)) == (NICE_FRONT, NICE_FRONT), "who is declared stays"
    bench.front.put_back("the test is over")
    assert (nice(pid), nice(other)) == (own, own)


@needs_nice
def test_what_is_started_meanwhile_is_not_raised_with_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", FORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        born = []
        try:
            parent.stdout.readline()
            own, policy = nice(parent.pid), os.sched_getscheduler(parent.pid)
            bench.know([row_of(parent.pid)])
            bench.level(LOW)
            for raised in (True, False):
                assert (nice(parent.pid) == NICE_FRONT) == raised
                parent.stdin.write("\n")
                parent.stdin.flush()
                born.append(int(parent.stdout.readline()))
                assert (nice(born[-1]), os.sched_getscheduler(born[-1])) == (own, policy)
                bench.front.put_back("the test is over")
            assert (nice(parent.pid), os.sched_getscheduler(parent.pid)) == (own, policy)
        finally:
            for pid in (*born, parent.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@needs_nice
def test_what_is_real_time_or_keeps_its_share_from_its_children_by_itself_is_let_be(tmp_path: Path, two: Any) -> None:
    policies = (os.SCHED_FIFO, 1), (os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, 0)
    for pid, (policy, priority) in zip(two, policies, strict=True):
        try:
            os.sched_setscheduler(pid, policy, os.sched_param(priority))
        except PermissionError:
            pytest.skip("a real-time priority takes CAP_SYS_NICE, and a group that has a budget for it")
    own = [nice(pid) for pid in two]
    bench = Bench(tmp_path)
    bench.know([row_of(pid) for pid in two])
    bench.level(LOW)
    assert [nice(pid) for pid in two] == own and not bench.front.raised
    assert [os.sched_getscheduler(pid) for pid in two] == [policy for policy, _ in policies]


@needs_nice
def test_what_a_dead_helper_left_is_put_back_and_odd_lines_name_nobody(tmp_path: Path, two: Any) -> None:
    pid, other = two
    own = nice(pid)
    first = Bench(tmp_path)
    first.know([row_of(pid)])
    first.level(LOW)
    with (tmp_path / LIST_NAME).open("ab") as file:
        file.write(b"1 1 -15 0\n%d 5 -15\n-3 4 -15 0\nodd\n%d 1 0 -15\n" % (other, other))
    second = Bench(tmp_path)
    second.front.restore_left()
    assert (nice(pid), nice(other), second.list.exists()) == (own, own, False)
    assert [fields["reason"] for _, fields, _ in second.reports] == ["a helper that died had raised them"]


@needs_nice
def test_another_who_has_the_process_id_now_is_let_be(tmp_path: Path, two: Any) -> None:
    pid, own = two[0], nice(two[0])
    (tmp_path / LIST_NAME).write_text(f"{pid} 7 {own} 5\n" if own < 5 else f"{pid} 7 -15 5\n")
    bench = Bench(tmp_path)
    bench.front.restore_left()
    assert nice(pid) == own
    bench.know([make_candidate(pid, 0, start_ticks=7)])
    bench.level(LOW)
    assert nice(pid) == own and pid not in bench.front


@needs_nice
def test_what_has_more_by_itself_keeps_it(tmp_path: Path, two: Any) -> None:
    pid = two[0]
    os.setpriority(os.PRIO_PROCESS, pid, -18)
    bench = Bench(tmp_path)
    bench.know([row_of(pid)])
    bench.level(LOW)
    bench.front.put_back("the test is over")
    assert nice(pid) == -18


def test_nobody_is_touched_where_that_is_not_wanted_or_nobody_is_in_front(tmp_path: Path, two: Any) -> None:
    pid, other = two
    own = nice(pid)
    with child() as kswapd:
        unwanted, nobody = Bench(tmp_path, kswapd.pid, wanted=False), Bench(tmp_path, kswapd.pid)
        unwanted.know([row_of(pid)])
        nobody.know([row_of(other, 900)])
        for bench in (unwanted, nobody):
            bench.level(LOW)
            assert (nice(pid), nice(other), nice(kswapd.pid), bench.reports) == (own, own, own, [])


class Refusing:
    """setpriority(2) that refuses for one thread, or for this process itself; all else goes to the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.thread, self._real = -1, os.setpriority
        monkeypatch.setattr(os, "setpriority", self._set)

    def _set(self, which: int, thread: int, value: int) -> None:
        if thread == self.thread and value < 0:
            raise PermissionError(1, "Operation not permitted")
        self._real(which, thread, value)


@needs_nice
def test_one_that_cannot_be_raised_is_left_as_it_was_and_said_once(
    tmp_path: Path, two: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, other = two
    own = nice(pid)
    bench = Bench(tmp_path)
    bench.know([row_of(pid), row_of(other)])
    Refusing(monkeypatch).thread = other
    for level, raised in ((LOW, NICE_FRONT), (CALM, NICE_FRONT), (LOW, NICE_FRONT)):
        bench.level(level)
        assert (nice(pid), nice(other)) == (raised, own)
        assert os.sched_getscheduler(other) == os.SCHED_OTHER and other not in bench.front
    bench.front.put_back("the test is over")
    refused = [(fields["refused"], level) for _, fields, level in bench.reports if "refused" in fields]
    assert refused == [(f"nice of {other}: Operation not permitted", "warning")]


@needs_nice
def test_who_may_raise_nobody_touches_nobody_and_tries_again_later(
    tmp_path: Path, two: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, own = two[0], nice(two[0])
    bench = Bench(tmp_path)
    bench.know([row_of(pid)])
    kernel = Refusing(monkeypatch)
    kernel.thread = 0
    bench.level(LOW)
    assert (nice(pid), os.sched_getscheduler(pid), bench.list.exists()) == (own, os.SCHED_OTHER, False)
    assert [(event, fields["refused"]) for event, fields, _ in bench.reports] == [
        ("front", "nice -20: Operation not permitted")
    ]
    kernel.thread = -1
    bench.know([row_of(pid)])
    assert nice(pid) == own, "it is not tried at each look"
    monkeypatch.setattr(module, "now_ms", lambda: time.monotonic_ns() / 1e6 + AGAIN_MS)
    bench.know([row_of(pid)])
    assert nice(pid) == NICE_FRONT
    bench.front.put_back("the test is over")


@needs_nice
def test_a_full_folder_is_a_refusal_and_raises_nobody(tmp_path: Path, two: Any) -> None:
    pid, own = two[0], nice(two[0])
    (tmp_path / "file").write_text("")
    bench = Bench(tmp_path / "file")
    bench.know([row_of(pid)])
    bench.level(LOW)
    assert nice(pid) == own and "refused" in bench.reports[-1][1]


@needs_nice
def test_one_that_yields_is_raised_when_it_has_its_own_share_back(tmp_path: Path, two: Any) -> None:
    pid, own = two[0], nice(two[0])
    bench = Bench(tmp_path)
    os.setpriority(os.PRIO_PROCESS, pid, NICE_LOWEST)
    bench.know([row_of(pid)])
    bench.level(LOW)
    assert nice(pid) == NICE_LOWEST
    os.setpriority(os.PRIO_PROCESS, pid, own)
    bench.level(CALM)
    bench.front.put_back("calm")
    bench.level(LOW)
    assert nice(pid) == NICE_FRONT
    bench.front.put_back("the test is over")
    assert nice(pid) == own


@needs_nice
def test_threads_that_are_born_meanwhile_are_raised_at_the_next_look_and_get_what_the_first_had(tmp_path: Path) -> None:
    with child(BREEDER) as process:
        first = process.pid
        os.setpriority(os.PRIO_PROCESS, first, 3)
        bench = Bench(tmp_path)
        bench.know([row_of(first)])
        bench.level(LOW)
        before = threads(first)
        looked = breed(first)
        assert nice(looked) == 0
        bench.know([row_of(first)])
        assert nice(looked) == NICE_FRONT
        late = breed(first)
        bench.front.put_back("the test is over")
        assert [nice(thread) for thread in (*before, looked, late)] == [3, 0, 0, 3, 3]
        assert {os.sched_getscheduler(thread) for thread in threads(first)} == {os.SCHED_OTHER}


@needs_nice
def test_of_one_whose_first_thread_has_ended_the_others_have_their_share_back(tmp_path: Path) -> None:
    with child(LEADERLESS) as process:
        bench = Bench(tmp_path)
        until(lambda: len(threads(process.pid)) == 2)
        own = nice(process.pid)
        bench.know([row_of(process.pid)])
        bench.level(LOW)
        os.kill(process.pid, signal.SIGUSR1)
        until(lambda: state_of(process.pid) == "Z")
        other = max(threads(process.pid))
        assert nice(other) == NICE_FRONT
        bench.front.put_back("the test is over")
        assert (nice(other), os.sched_getscheduler(other)) == (own, os.SCHED_OTHER)


@needs_nice
def test_who_chooses_another_share_meanwhile_keeps_it_and_no_flag_is_left(tmp_path: Path, two: Any) -> None:
    pid = two[0]
    bench = Bench(tmp_path)
    bench.know([row_of(pid)])
    bench.level(LOW)
    os.setpriority(os.PRIO_PROCESS, pid, 4)
    bench.front.put_back("the test is over")
    assert (nice(pid), os.sched_getscheduler(pid)) == (4, os.SCHED_OTHER)


@needs_nice
def test_when_the_last_leaves_the_front_the_reclaim_is_lowered_as_well(tmp_path: Path, two: Any) -> None:
    pid, kswapd = two
    own = nice(pid)
    bench = Bench(tmp_path, kswapd)
    bench.know([row_of(pid)])
    bench.level(LOW)
    assert nice(kswapd) == NICE_RECLAIM
    bench.know([row_of(pid, 900)])
    assert (nice(pid), nice(kswapd), bench.list.exists(), bench.front.raised) == (own, own, False, False)
    assert bench.reports[-1][1] == {"processes": 0, "reason": "nobody is in front"}


@pytest.mark.parametrize(
    ("line", "nice_values"),
    [
        (b"9 100 -15 0", {9: 0}),
        (b"9 100 -15 0 12:5 13:-4", {9: 0, 12: 5, 13: -4}),
        (b"9 100 -15 0 12", None),
        (b"9 100 -15 -15", None),
        (b"9 100 -15 0 12:-15", None),
        (b"9 100 -15 20", None),
        (b"1 100 -15 0", None),
        (b"9 100 -21 0", None),
        (b"9 x -15 0", None),
        (b"", None),
    ],
)
def test_a_line_of_the_list_is_as_it_was_written_or_names_nobody(
    line: bytes, nice_values: dict[int, int] | None
) -> None:
    one = parse(line)
    assert (None if one is None else one.nice) == nice_values
    if one is not None:
        assert one.line() == line.decode() + "\n"


@needs_nice
def test_of_too_many_the_declared_and_the_largest_go_first(tmp_path: Path, two: Any) -> None:
    pid, other = two
    crowd = [make_candidate(2**22 + number, 0, resident_kib=10_000) for number in range(FRONT_MAX - 1)]
    declared = row_of(pid, 0, resident_kib=1, flags=FLAG_DECLARED_FOREGROUND)
    bench = Bench(tmp_path)
    bench.know([row_of(other, 0, resident_kib=1), *crowd, declared])
    bench.level(LOW)
    assert (pid in bench.front, other in bench.front) == (True, False)
    bench.front.put_back("the test is over")


def test_only_the_kernels_own_threads_are_taken_for_its_reclaim(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    proc.add(40, b"kswapd0", parent=2, start=7, kernel=True)
    proc.add(41, b"kswapd1", parent=2, start=8, kernel=True)
    proc.add(42, b"kcompactd0", parent=2, kernel=True)
    proc.add(99, b"kswapd0", parent=1)  # what a miner calls itself
    assert sorted(reclaim_threads(str(proc.root))) == [(40, 7), (41, 8)]


def test_ended_children_are_no_hindrance(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with child() as process:
        row = row_of(process.pid)
        bench.know([row])
    until(lambda: not Path(f"/proc/{process.pid}").exists())
    bench.level(LOW)
    bench.front.put_back("the test is over")
    assert process.pid not in bench.front and all(level == "info" for _, _, level in bench.reports)


@needs_nice
def test_the_helper_itself_is_not_left_behind_by_those_that_thrash(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(os, "setpriority", lambda which, pid, nice: given.append(nice))
    share = OwnShare()
    raised = SimpleNamespace(front=SimpleNamespace(raised=False, crowded=False))
    share.brake = cast(Any, raised)
    share.take(NICE_CALM)
    share.take(NICE_URGENT)
    raised.front.raised = raised.front.crowded = True
    for nice_value in (NICE_CALM, NICE_URGENT, NICE_FRONT, NICE_CALM):
        share.take(nice_value)
    raised.front.raised = raised.front.crowded = False
    share.take(NICE_CALM)
    assert given == [NICE_URGENT, NICE_RAISED, NICE_RAISED, NICE_FRONT, NICE_RAISED, NICE_CALM]


def test_looks_at_all_take_a_part_of_the_processor_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(share_module, "now_ms", lambda: now[0])
    monkeypatch.setattr(time, "process_time_ns", lambda: 20_000_000)
    share = OwnShare()
    assert share.may_look(urgent=False)
    share.looked(began_ns=0)
    now[0] += 19
    assert not share.may_look(urgent=True)
    now[0] += 1
    assert share.may_look(urgent=True) and not share.may_look(urgent=False)
    now[0] += 40
    assert share.may_look(urgent=False)


@needs_nice
@pytest.mark.parametrize(("given", "nice_then"), [(10, 0), (3, 0), (0, 0), (-15, -15)])
def test_what_does_not_keep_is_told_as_any_program_does_or_as_the_guard_has_hastened_us(
    given: int, nice_then: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [given]
    monkeypatch.setattr(os, "getpriority", lambda which, pid: held[0])
    monkeypatch.setattr(os, "setpriority", lambda which, pid, value: held.__setitem__(0, value))
    share = OwnShare()
    share.hurry()
    assert held == [nice_then]
    share.take(NICE_CALM)
    assert held == [NICE_CALM]
