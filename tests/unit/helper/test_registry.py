"""The registered processes in shared memory: bounded, whole, and there for the next helper."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from lmkd.guard.exchange import SLOTS_BYTES as ROOM
from lmkd.helper.entry import HAS_PRIORITY, PRIVILEGED
from lmkd.helper.registry import SLOTS, SLOTS_BYTES, SLOTS_OF_USER, SLOTS_OF_USERS, Registry, Slot
from lmkd.values import replace


def make_slot(pid: int, **changes: object) -> Slot:
    return replace(Slot(pid, 1000 + pid, 1000, 500, HAS_PRIORITY, 0, 77, 1077, b"player"), **changes)


def memory() -> memoryview:
    return memoryview(bytearray(SLOTS_BYTES))


def test_the_exchange_has_room_for_it() -> None:
    assert SLOTS_BYTES <= ROOM


def test_what_is_put_is_found_by_the_next_one() -> None:
    view = memory()
    registry = Registry(view)
    slot = make_slot(10, name="ü".encode(), uid=0xFFFFFFFE, priority=-1000, flags=255, group=0xFFFFFFFF)
    assert registry.put(slot) and registry.put(make_slot(11))
    for found in (registry, Registry(view)):
        got = found.find(10)
        assert got is not None and replace(got, name=got.name.rstrip(b"\0")) == slot
        assert sorted(found.pids()) == [10, 11]
    assert registry.find(12) is None


def test_a_process_of_the_same_number_is_another_one() -> None:
    registry = Registry(memory())
    registry.put(make_slot(10))
    assert registry.find(10, 1010) and registry.find(10, 1011) is None


def test_a_slot_that_a_helper_died_over_is_free() -> None:
    view = memory()
    Registry(view).put(make_slot(10))
    struct.pack_into("=I", view, 0, struct.unpack_from("=I", view)[0] + 1)
    registry = Registry(view)
    assert registry.find(10) is None and registry.pids() == []
    assert registry.put(make_slot(11)) and Registry(view).find(11)


def test_there_is_an_end_to_them_and_one_user_cannot_take_all() -> None:
    registry = Registry(memory())
    taken = [registry.put(make_slot(pid, uid=5)) for pid in range(1, 100)]
    assert taken.count(True) == SLOTS_OF_USER
    assert registry.put(make_slot(1, uid=5, priority=3)), "what has a slot keeps it"
    more = [registry.put(make_slot(pid, uid=5, flags=PRIVILEGED)) for pid in range(1000, 1000 + SLOTS)]
    assert more.count(True) == SLOTS - SLOTS_OF_USER and len(registry) == SLOTS
    registry.drop(1)
    assert registry.put(make_slot(5000, flags=PRIVILEGED))


def test_what_root_set_of_a_users_processes_takes_nothing_of_his_share() -> None:
    registry = Registry(memory())
    for pid in range(1, 100):
        registry.put(make_slot(pid, uid=5, flags=PRIVILEGED))
    taken = [registry.put(make_slot(pid, uid=5)) for pid in range(100, 200)]
    assert taken.count(True) == SLOTS_OF_USER


def test_all_users_together_leave_room_for_root() -> None:
    registry = Registry(memory())
    taken = [registry.put(make_slot(pid, uid=pid)) for pid in range(1, SLOTS + 1)]
    assert taken.count(True) == SLOTS_OF_USERS < SLOTS
    assert registry.put(make_slot(1000, flags=PRIVILEGED))


def test_a_group_is_of_one_user_and_outlives_its_victim_for_a_while() -> None:
    registry = Registry(memory())
    for pid, uid, group in ((10, 5, 7), (11, 5, 7), (12, 6, 7), (13, 5, 8), (14, 5, 0), (15, 5, 0)):
        registry.put(make_slot(pid, uid=uid, group=group))
    assert [slot.pid for slot in registry.members(10)] == [11]
    assert registry.members(14) == [] and registry.members(99) == []
    registry.drop(10)
    assert [slot.pid for slot in registry.members(10)] == [11]


def test_owners_are_processes() -> None:
    registry = Registry(memory())
    registry.put(make_slot(10))
    registry.put(make_slot(11, owner_start=1))
    assert registry.owned(77, 1077) == [10]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30), st.integers(0, 3)), max_size=80))
def test_any_sequence_leaves_what_was_put_last(steps: list[tuple[bool, int, int]]) -> None:
    view = memory()
    registry, meant = Registry(view), {}
    for puts, pid, group in steps:
        if puts:
            slot = make_slot(pid, group=group)
            assert registry.put(slot)
            meant[pid] = group
        else:
            registry.drop(pid)
            meant.pop(pid, None)
    there = [Registry(view).find(pid) for pid in range(31)]
    found = {one.pid: one.group for one in there if one is not None}
    assert found == meant and len(registry) == len(meant)
