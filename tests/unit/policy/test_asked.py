"""Kills that were asked for are inputs of the step: they wait their turn, and nothing protected is ended."""

from __future__ import annotations

from lmkd.model import Note
from lmkd.policy.asked import WAITING_MAX, take
from lmkd.policy.table import table_of
from tests.unit.plans import make_candidate
from tests.unit.policy.builders import FLOOR_KIB, Run, make_app, make_sample, pids, with_headroom

APPS = tuple(make_app(pid, 900, 4000) for pid in range(11, 19))


def start(pid: int) -> int:
    return next(app.start_ticks for app in APPS if app.pid == pid)


def asked(*wanted: int) -> tuple[tuple[int, int], ...]:
    return tuple((pid, start(pid)) for pid in wanted)


def refusals(run: Run) -> list[object]:
    return [fields["reason"] for fields in run.notes("refusal")]


def test_a_kill_that_is_asked_for_is_made_though_nothing_is_short() -> None:
    run = Run([*APPS])
    run.feed(make_sample(1000.0), make_sample(1010.0, asked=asked(13)))
    assert [pids(kill) for kill in run.kills] == [(13,)]
    assert run.kills[0].reason == "it was asked for"


def test_it_is_the_only_one_in_flight_and_the_next_one_follows() -> None:
    run = Run([*APPS])
    run.feed(make_sample(1000.0, asked=asked(13, 14)))
    assert [pids(kill) for kill in run.kills] == [(13,)]
    run.feed(make_sample(1010.0))
    assert len(run.kills) == 1
    run.feed(make_sample(1020.0, gone=(13,)), *(make_sample(1030.0 + 10 * turn) for turn in range(20)))
    assert [pids(kill) for kill in run.kills] == [(13,), (14,)]


def test_what_must_die_dies_first() -> None:
    run = Run([*APPS])
    run.feed(with_headroom(1000, FLOOR_KIB - 1000, asked=asked(18)))
    assert len(run.kills) == 1 and run.kills[0].reason != "it was asked for"
    assert run.state.asked == asked(18)


def test_a_protected_one_a_stranger_and_one_of_an_earlier_life_are_refused() -> None:
    table = table_of((make_candidate(10, -1000), make_candidate(11)))
    for pid, ticks, reason in ((10, 110, "protected"), (12, 112, "no candidate"), (11, 112, "no candidate")):
        left, found = take(((pid, ticks),), table, (), False)
        assert left == () and isinstance(found, Note) and reason in str(dict(found.fields)["reason"])
    assert isinstance(take(((11, 111),), table, ((11, 111),), False)[1], Note)


def test_asking_often_is_asking_once_and_what_waits_is_bounded() -> None:
    table = table_of((make_candidate(11),))
    many = tuple((pid, 1) for pid in range(100))
    assert len(take(many, table, (), True)[0]) == WAITING_MAX
    assert take(((11, 111),) * 5, table, (), True)[0] == ((11, 111),)


def test_a_refused_one_kills_nobody() -> None:
    run = Run([make_app(11, -1000, 4000)])
    run.feed(make_sample(1000.0, asked=((11, make_app(11, -1000, 4000).start_ticks),)))
    assert run.kills == []
    assert refusals(run) == ["what was asked to be ended is protected"]
