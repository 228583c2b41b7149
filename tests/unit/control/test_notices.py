"""What the guard tells at once, written and read back."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lmkd.control.notices import NoticesReader
from lmkd.guard.exchange import NOTICES_BYTES
from lmkd.guard.notices import COUNTS_AT, LEVEL, LEVEL_AT, RING, VICTIM, VICTIMS_AT, Notices
from lmkd.model import Kill, Victim
from lmkd.policy.flight import Flight
from lmkd.policy.headroom import Headroom
from lmkd.policy.step import State


@pytest.fixture
def notices() -> Iterator[Notices]:
    made = Notices(memoryview(bytearray(NOTICES_BYTES)), os.eventfd(0, os.EFD_NONBLOCK))
    yield made
    os.close(made.wake)


def victim(pid: int, priority: int = 900, name: str = "app") -> Victim:
    return Victim(pid, 100 + pid, name, priority, -1, 4096)


def kill(notices: Notices, *victims: Victim, signal: str = "SIGKILL", reason: str = "because") -> None:
    state = State(flight=Flight(victims, signal, 1000.0, 1200.0, 1, 1))
    notices.tell_kill(Kill(victims, signal, reason, ()), victims, state, 7.0)


def test_the_parts_do_not_overlap() -> None:
    assert LEVEL_AT + LEVEL.size <= VICTIMS_AT and VICTIMS_AT + RING * VICTIM.size <= COUNTS_AT
    assert COUNTS_AT + 4 * 2001 <= NOTICES_BYTES


def test_the_first_level_is_calm_and_nothing_is_told(notices: Notices) -> None:
    reader = NoticesReader(notices.view)
    assert (reader.level().level, reader.level().exhaustion_ms) == ("calm", None)
    assert (reader.changed(), reader.victims()) == (None, [])


def test_a_level_is_told_once_with_its_numbers(notices: Notices) -> None:
    reader = NoticesReader(notices.view)
    state = State(level="moderate", room=Headroom(1, 2, 3, 4), exhaustion_ms=850.0)
    notices.tell_level("calm", state, 5.0, "headroom below 15% of RAM")
    assert os.eventfd_read(notices.wake) == 1
    told = reader.changed()
    assert told is not None
    assert (told.level, told.previous, told.t_ms, told.exhaustion_ms) == ("moderate", "calm", 5.0, 850.0)
    assert (told.headroom_kib, told.reason) == (state.room.total_kib, "headroom below 15% of RAM")
    assert reader.changed() is None


def test_what_is_fresh_is_so_once(notices: Notices) -> None:
    reader = NoticesReader(notices.view)
    reader.fresh()
    assert not reader.fresh()
    notices.tell_level("calm", State(level="low"), 1.0, "")
    assert (reader.fresh(), reader.fresh()) == (True, False)
    kill(notices, victim(7))
    assert reader.fresh() and [one.pid for one in reader.victims()] == [7]
    assert not reader.fresh()


def test_levels_that_were_missed_are_told_as_one_change(notices: Notices) -> None:
    reader = NoticesReader(notices.view)
    notices.tell_level("calm", State(level="low"), 1.0, "")
    notices.tell_level("low", State(level="critical"), 2.0, "x")
    told = reader.changed()
    assert told is not None and (told.level, told.previous) == ("critical", "calm")
    notices.tell_level("critical", State(level="low"), 3.0, "")
    notices.tell_level("low", State(level="critical"), 4.0, "")
    assert reader.changed() is None


def test_victims_are_told_with_their_grace(notices: Notices) -> None:
    reader = NoticesReader(notices.view)
    kill(notices, victim(10), victim(11, 0, "ü" * 20), signal="SIGTERM", reason="r" * 200)
    kill(notices, victim(12))
    first, second, third = reader.victims()
    assert (first.pid, first.start_ticks, first.signal, first.grace_ms) == (10, 110, "SIGTERM", 200)
    assert first.reason == "r" * 64
    assert (second.name, second.priority) == ("ü" * 8, 0)
    assert (third.signal, third.grace_ms, third.predicted_kib, third.t_ms) == ("SIGKILL", 0, 4096, 7.0)
    assert reader.victims() == []


def test_of_too_many_victims_the_last_ones_are_told(notices: Notices) -> None:
    reader = NoticesReader(notices.view)
    for pid in range(1, 2 * RING + 6):
        kill(notices, victim(pid))
    assert [one.pid for one in reader.victims()] == list(range(RING + 6, 2 * RING + 6))


def test_kills_are_counted_by_priority(notices: Notices) -> None:
    reader = NoticesReader(notices.view)
    kill(notices, victim(1, 900), victim(2, 900), victim(3, -17))
    counts = [reader.kill_count(*limits) for limits in ((-1000, 1000), (900, 900), (0, 899), (-5000, 0), (5, 2))]
    assert counts == [3, 2, 0, 1, 0]


def test_nobody_reading_the_eventfd_holds_nobody_up(notices: Notices) -> None:
    os.eventfd_write(notices.wake, 2**64 - 2)
    notices.tell_level("calm", State(level="low"), 1.0, "")
