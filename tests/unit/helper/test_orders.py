"""Orders carried out by a real scout over a fake /proc: who is ranked how after them, and what is refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.guard.commands import KILL_ASKED
from lmkd.guard.exchange import Exchange
from lmkd.helper import orders
from lmkd.helper.entry import FREEZE, FREEZE_SAID, HAS_PRIORITY, PRIVILEGED, RECORD, TRIM, TRIM_SAID
from lmkd.helper.orders import ANSWER, ORDER, Orders
from lmkd.helper.scout import Scout
from lmkd.model import FLAG_DECLARED_FOREGROUND, FLAG_FREEZE, FLAG_TRIM, Candidate, Kill, Victim
from lmkd.plan import Plan
from lmkd.policy.flight import Flight
from lmkd.policy.step import State
from tests.unit.guard.test_exchange import close
from tests.unit.plans import FakeProc, make_plan, make_rule

UID, ROOT = 1000, PRIVILEGED
START = 1000


class FakeCare:
    """Notes what is to be paged out."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def trim(self, kib: int, idle_since_ms: object) -> None:
        self.asked.append((0, kib))

    def page_out(self, pid: int, kib: int) -> bool:
        self.asked.append((pid, kib))
        return pid != 11


class Bench:
    """A scout and its orders; ``order`` gives one and returns (code, priority now, before)."""

    def __init__(self, plan: Plan) -> None:
        self.exchange = Exchange()
        self.plan = plan
        self.care: Any = FakeCare()
        self.again()

    def again(self) -> None:
        """A helper as it starts."""
        self.scout = Scout(self.plan, (), self.exchange.post)
        self.orders = Orders(self.exchange, self.scout, self.care, os.getpid(), self.publish)
        self.scout.scan()
        self.scout.scan()
        self.orders.tidy()
        self.publish()

    def publish(self) -> None:
        self.scout.measure(private=False)
        self.exchange.publish(self.scout.candidates(1.0), 1.0)

    def order(
        self, operation: int, pid: int = 0, priority: int = 0, flags: int = 0, start: int = START, **more: Any
    ) -> tuple[int, int, int]:
        data = ORDER.pack(
            5, operation, flags, priority, pid, start, more.get("uid", UID), more.get("owner", 77), 1077,
            more.get("group", 0), more.get("kib", 0), more.get("name", b""),
        )  # fmt: skip
        number, code, now, before, _ = ANSWER.unpack(self.orders.carry_out(data))
        assert number == 5
        return code, now, before

    def set(self, pid: int, priority: int, flags: int = 0, **more: Any) -> tuple[int, int, int]:
        return self.order(orders.REGISTER, pid, priority, flags | HAS_PRIORITY, **more)

    def row(self, pid: int) -> Candidate:
        self.publish()
        table = self.exchange.table()
        index = table.index_of(pid)
        assert index is not None
        return table.row(index)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    made = FakeProc(tmp_path)
    for pid, comm, adj in ((10, b"app", 0), (11, b"other", 300), (12, b"ruled", 0), (13, b"kept", 0)):
        made.add(pid, comm=comm, adj=adj, uid=UID)
    return made


@pytest.fixture
def bench(tmp_path: Path, proc: FakeProc) -> Iterator[Bench]:
    rules = (make_rule("comm", "ruled", 500, trim=False), make_rule("comm", "kept", protect=True))
    made = Bench(make_plan(tmp_path, rules=rules))
    yield made
    close(made.exchange)


def test_a_lower_importance_is_ranked_and_mirrored_and_goes_again(bench: Bench, proc: FakeProc) -> None:
    assert bench.set(10, 900) == (orders.DONE, 900, 0)
    assert bench.row(10).priority == 900 and proc.adj(10) == 900
    assert bench.orders.changed
    bench.scout.scan()
    bench.publish()
    assert bench.row(10).priority == 900
    assert bench.order(orders.REMOVE, 10) == (orders.DONE, 0, 900)
    assert bench.row(10).priority == 0 and proc.adj(10) == 0


def test_without_the_right_nobody_becomes_more_important(bench: Bench) -> None:
    assert bench.set(11, 200) == (orders.RAISES, 300, 300)
    assert bench.set(12, 900) == (orders.RULED, 500, 500)
    assert bench.set(13, 900)[0] == orders.RULED
    assert bench.set(11, 300) == (orders.DONE, 300, 300)
    assert bench.set(11, 500) == (orders.DONE, 500, 300)
    assert bench.set(11, 300) == (orders.DONE, 300, 500), "back to what it was by itself"
    assert [bench.row(pid).priority for pid in (11, 12, 13)] == [300, 500, -1000]


def test_root_may_do_all_and_what_root_set_stays(bench: Bench) -> None:
    assert bench.set(11, 0, ROOT) == (orders.DONE, 0, 300)
    assert bench.row(11).flags & FLAG_DECLARED_FOREGROUND
    assert bench.set(13, 900, ROOT)[1] == 900
    assert bench.set(12, -1000, ROOT)[1] == -1000
    assert bench.set(11, 900)[0] == orders.HELD
    assert bench.order(orders.REMOVE, 11)[0] == orders.HELD
    assert bench.order(orders.REGISTER, 11, flags=orders.NAME_SAID, name=b"mine")[0] == orders.DONE
    slot = bench.orders.registry.find(11)
    assert slot is not None and (slot.name.rstrip(b"\0"), slot.priority, slot.owner) == (b"mine", 0, 77)
    assert bench.order(orders.REMOVE, 11, flags=ROOT) == (orders.DONE, 300, 0)


def test_a_user_is_not_made_the_declared_foreground_by_his_own_word(bench: Bench, proc: FakeProc) -> None:
    proc.add(14, adj=-5, uid=UID)
    bench.scout.scan()
    assert bench.set(14, 0) == (orders.DONE, 0, -5)
    assert not bench.row(14).flags & FLAG_DECLARED_FOREGROUND
    assert bench.set(10, 0) == (orders.DONE, 0, 0)
    assert not bench.row(10).flags & FLAG_DECLARED_FOREGROUND


def test_what_may_be_done_to_it_is_said_by_root_then_the_rule_then_anybody_then_the_class(bench: Bench) -> None:
    said = TRIM_SAID | FREEZE_SAID | FREEZE
    bench.set(10, 900, said)
    assert bench.row(10).flags & (FLAG_TRIM | FLAG_FREEZE) == FLAG_FREEZE
    bench.order(orders.REGISTER, 12, flags=TRIM_SAID | TRIM)
    assert not bench.row(12).flags & FLAG_TRIM, "the rule says no"
    bench.order(orders.REGISTER, 12, flags=TRIM_SAID | TRIM | ROOT)
    assert bench.row(12).flags & FLAG_TRIM
    bench.order(orders.REGISTER, 10, flags=TRIM_SAID | TRIM)
    assert bench.row(10).flags & (FLAG_TRIM | FLAG_FREEZE) == FLAG_TRIM | FLAG_FREEZE, "what is left out stays"


def test_a_process_that_is_not_the_one_that_was_meant_is_gone(bench: Bench) -> None:
    for operation in (orders.REGISTER, orders.REMOVE, orders.PAGE_OUT, orders.END):
        assert bench.order(operation, 10, start=999)[0] == orders.GONE
        assert bench.order(operation, 4000)[0] == orders.GONE
    assert bench.set(1, 900, ROOT)[0] == orders.GONE
    assert bench.order(99)[0] == orders.UNKNOWN


def test_one_that_was_born_just_now_is_known(bench: Bench, proc: FakeProc) -> None:
    proc.add(20, uid=UID)
    assert bench.set(20, 700)[:2] == (orders.DONE, 700)
    assert bench.row(20).priority == 700


def test_what_is_set_ends_with_the_process_and_outlives_the_helper(bench: Bench, proc: FakeProc) -> None:
    bench.set(10, 900)
    bench.set(11, 900)
    bench.again()
    assert bench.row(10).priority == 900
    proc.remove(10)
    bench.scout.scan()
    assert bench.orders.registry.pids() == [11]
    proc.add(10, start=2000)
    bench.scout.scan()
    assert bench.row(10).priority != 900 or proc.adj(10) == 0
    proc.remove(11)
    bench.again()
    assert bench.orders.registry.pids() == []


def test_purging_forgets_what_one_process_has_set(bench: Bench, proc: FakeProc) -> None:
    bench.set(10, 900)
    bench.set(11, 900, owner=78)
    assert bench.order(orders.PURGE)[0] == orders.DONE
    assert (bench.row(10).priority, bench.row(11).priority) == (0, 900)


def test_a_record_is_known_as_such_until_somebody_sets_it_by_another_way(bench: Bench) -> None:
    def is_record() -> bool:
        slot = bench.orders.registry.find(10)
        assert slot is not None
        return bool(slot.flags & RECORD)

    bench.order(orders.REGISTER_RECORD, 10, 900, ROOT | HAS_PRIORITY)
    assert is_record()
    bench.order(orders.REGISTER, 10, flags=orders.NAME_SAID, name=b"mine", owner=78)
    assert is_record(), "a name that its user gives takes nothing over"
    bench.set(10, 800, ROOT)
    assert not is_record()
    bench.order(orders.REGISTER, 11, flags=ROOT | orders.NAME_SAID, name=b"x")
    slot = bench.orders.registry.find(11)
    assert slot is not None and not slot.flags & RECORD


def test_when_it_is_full_the_dead_make_room(bench: Bench, proc: FakeProc) -> None:
    for pid in range(100, 170):
        proc.add(pid, uid=UID)
    codes = [bench.set(pid, 900)[0] for pid in range(100, 170)]
    assert (codes.count(orders.DONE), codes.count(orders.FULL)) == (64, 6)
    proc.remove(100)
    bench.scout._entries.pop(100)
    assert bench.set(169, 900)[0] == orders.DONE


def test_a_kill_is_passed_on_to_the_guard_but_not_of_the_protected(bench: Bench) -> None:
    assert bench.order(orders.END, 10)[0] == orders.DONE
    assert bench.order(orders.END, 13)[0] == orders.PROTECTED
    posts = [(event, dict(fields)) for event, fields, _ in bench.exchange.posts()]
    assert posts == [(KILL_ASKED, {"pid": 10, "start": START, "by": 77})]


def test_trims_are_passed_on(bench: Bench) -> None:
    assert bench.order(orders.PAGE_OUT, 10, flags=ROOT, kib=64)[0] == orders.DONE
    assert bench.order(orders.PAGE_OUT, 11, flags=ROOT)[0] == orders.IDLE
    assert bench.order(orders.PAGE_OUT, flags=ROOT, kib=5)[0] == orders.DONE
    assert bench.care.asked == [(10, 64), (11, 0), (0, 5)]


def test_users_without_rights_do_not_fill_the_records_with_what_they_page_out(bench: Bench) -> None:
    assert bench.order(orders.PAGE_OUT, 10)[0] == orders.DONE
    assert [bench.order(orders.PAGE_OUT, pid)[0] for pid in (10, 11)] == [orders.LATER] * 2
    assert bench.order(orders.PAGE_OUT, 10, flags=ROOT)[0] == orders.DONE
    bench.orders._paged_ms -= orders.PAGE_OUT_EVERY_MS
    assert bench.order(orders.PAGE_OUT, 10)[0] == orders.DONE


def test_what_was_set_by_a_user_goes_when_the_process_is_anothers(bench: Bench, proc: FakeProc) -> None:
    """Such as a setuid program, or a login."""
    bench.set(10, 900, orders.GROUP_SAID, group=7)
    bench.set(11, 800, ROOT)
    assert bench.row(10).priority == 900
    for pid, comm in ((10, b"app"), (11, b"other")):
        proc.add(pid, comm=comm, adj=proc.adj(pid), uid=0)
    assert (bench.row(10).priority, bench.row(11).priority) == (0, 800)
    assert bench.orders.registry.pids() == [11]
    assert proc.adj(10) == 0


def test_between_the_talkers_look_and_the_order_it_may_have_become_anothers(bench: Bench, proc: FakeProc) -> None:
    proc.add(10, comm=b"app", uid=0)
    for _ in range(2):
        assert bench.set(10, 900)[0] == orders.GONE
    assert bench.orders.registry.pids() == [] and bench.row(10).priority == 0
    proc.add(10, comm=b"app", uid=UID)
    assert bench.set(10, 900)[0] == orders.DONE, "and back, before anybody has looked"
    assert bench.row(10).priority == 900


def test_a_rule_by_user_is_asked_anew_when_the_user_changes(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path)
    proc.add(10, uid=UID)
    bench = Bench(make_plan(tmp_path, rules=(make_rule("user", "root", 600),)))
    assert bench.row(10).priority == 0
    proc.add(10, uid=0)
    bench.publish()
    assert bench.row(10).priority == 600
    close(bench.exchange)


def test_a_user_does_not_put_what_root_has_set_into_a_group_of_his(bench: Bench) -> None:
    bench.set(10, 100, ROOT)
    assert bench.order(orders.REGISTER, 10, flags=orders.GROUP_SAID, group=7)[0] == orders.HELD
    assert bench.order(orders.REGISTER, 10)[0] == orders.DONE, "to be told of its end is for everybody"


def test_roots_word_does_not_lend_its_weight_to_what_a_user_said(tmp_path: Path, bench: Bench) -> None:
    bench.set(10, 900, TRIM_SAID)
    bench.plan = make_plan(tmp_path, rules=(make_rule("comm", "app", 100, trim=True),))
    bench.again()
    assert bench.row(10).priority == 100
    bench.order(orders.REGISTER, 10, flags=ROOT | orders.NAME_SAID, name=b"x")
    assert bench.row(10).priority == 100 and bench.row(10).flags & FLAG_TRIM


def test_users_cannot_keep_root_out_of_the_registry(bench: Bench, proc: FakeProc) -> None:
    for pid in range(1000, 1260):
        proc.add(pid, uid=UID + pid % 20)
    bench.scout.scan()
    bench.publish()
    codes = [bench.set(pid, 900, uid=UID + pid % 20)[0] for pid in range(1000, 1260)]
    assert (codes.count(orders.DONE), codes.count(orders.FULL)) == (192, 68)
    assert [bench.set(pid, 900, ROOT)[0] for pid in range(1192, 1256)] == [orders.DONE] * 64
    assert bench.set(1256, 900, ROOT)[0] == orders.FULL


def test_a_reload_is_a_signal_to_the_guard(bench: Bench) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, frame: came.append(number))
    try:
        assert bench.order(orders.RELOAD)[0] == orders.DONE
    finally:
        signal.signal(signal.SIGHUP, before)
    assert came == [signal.SIGHUP]


def test_what_changes_is_a_record_but_nobody_can_flood_the_records(bench: Bench) -> None:
    for turn in range(50):
        bench.set(10, 900 + turn % 2)
    assert len([event for event, _, _ in bench.exchange.posts() if event == "set"]) == 1
    for turn in range(50):
        bench.set(10, 800 + turn % 2, ROOT)
    assert len([event for event, _, _ in bench.exchange.posts() if event == "set"]) == 50


def test_a_group_ends_together_by_the_signal_of_its_victim(bench: Bench) -> None:
    for pid in (10, 11):
        bench.order(orders.REGISTER, pid, flags=orders.GROUP_SAID, group=7)
    assert bench.orders.group_of(10) == ([11], "SIGKILL")
    victims = (Victim(10, START, "app", 0, -1, 1),)
    state = State(flight=Flight(victims, "SIGTERM", 0.0, 100.0, 1, 1))
    bench.exchange.notices.tell_kill(Kill(victims, "SIGTERM", "x", ()), victims, state, 1.0)
    assert bench.orders.group_of(10) == ([11], "SIGTERM")
    assert bench.orders.group_of(12)[0] == []


@given(st.binary(max_size=200))
def test_no_bytes_of_an_order_raise_anything(data: bytes) -> None:
    plan = make_plan(Path("/nonexistent"))
    exchange = Exchange()
    scout = Scout(plan, (), exchange.post)
    made = Orders(exchange, scout, FakeCare(), 2**22 + 5, lambda: None)  # type: ignore[arg-type]
    try:
        data = data.ljust(ORDER.size, b"\0")[: ORDER.size] if len(data) % 2 else data
        if data[4:5] != bytes([orders.RELOAD]):
            assert len(made.carry_out(data)) == ANSWER.size
    finally:
        close(exchange)
