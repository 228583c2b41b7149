"""Trimming in the step: when it is asked for, how often, and when no more; on stories and on simulated boards."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import settings as effort

from lmkd.model import Candidate, Kill, Sample, Trim
from lmkd.policy.learned import with_learned
from lmkd.policy.step import State
from lmkd.policy.trim import ARM_FACTOR, ASK_EVERY_MS, short_kib
from lmkd.values import replace
from tests.unit.policy.builders import SETTINGS, WATERMARK_LOW_KIB, AnyAction, Run, make_app, make_sample
from tests.unit.policy.simulated import AppSpec, BoardSpec, run
from tests.unit.policy.test_promises import EXAMPLES, boards

WANTED_KIB = SETTINGS.trim_free_kib
APPS = tuple(make_app(pid, 900, 4000) for pid in range(11, 19))


def ready(t_ms: float, ready_kib: int, **changes: Any) -> Sample:
    """So much is free, and no cache beside it; the store has room for nearly all that there is."""
    return make_sample(
        t_ms, **{"free_kib": ready_kib + WATERMARK_LOW_KIB, "file_kib": 0, "anon_kib": 150_000} | changes
    )


def short(t_ms: float, **changes: Any) -> Sample:
    """4000 KiB less is free than wanted."""
    return ready(t_ms, WANTED_KIB - 4000, **changes)


def dying(t_ms: float, **changes: Any) -> Sample:
    """Nothing is free and very little can be stored: something must die."""
    return ready(t_ms, 0, anon_kib=5000, **changes)


def trims(*actions: AnyAction) -> list[int]:
    """What was asked to be trimmed, in KiB."""
    return [one.kib for one in actions if isinstance(one, Trim)]


def runner(*apps: Candidate, **changes: Any) -> Run:
    return Run(apps or APPS, replace(SETTINGS, **changes))


def test_what_is_short_is_asked_for() -> None:
    assert trims(*runner().feed(short(1000))) == [4000]


def test_far_from_it_nothing_is_asked_for() -> None:
    assert trims(*runner().feed(ready(1000, ARM_FACTOR * WANTED_KIB))) == []


def test_on_the_way_there_the_helper_is_told_to_see_who_is_idle() -> None:
    assert trims(*runner().feed(ready(1000, WANTED_KIB + 1000))) == [0]


def test_nothing_is_asked_for_where_trimming_is_turned_off() -> None:
    assert trims(*runner(trim=False).feed(short(1000))) == []


def test_it_is_asked_for_again_only_after_a_while() -> None:
    run = runner()
    run.feed(*(short(1000 + at) for at in range(0, 1000, 10)))
    assert trims(*run.actions) == [4000] * int(1000 / ASK_EVERY_MS)


def test_it_ends_once_when_there_is_room_again() -> None:
    run = runner()
    run.feed(short(1000))
    assert trims(*run.feed(ready(1010, WANTED_KIB + 1000))) == [0], "at once, not at the next time to ask"
    assert trims(*run.feed(ready(1020, WANTED_KIB + 1000), ready(1030, WANTED_KIB + 1000))) == []


def test_it_ends_once_when_memory_is_plenty() -> None:
    run = runner()
    run.feed(short(1000), *(ready(1000 + at, 100_000) for at in range(10, 1000, 10)))
    assert trims(*run.actions) == [4000, 0]


def test_it_ends_once_when_something_must_die_and_is_not_asked_for_while_that_is_in_flight() -> None:
    run = runner()
    run.feed(short(1000))
    first = run.feed(dying(1300))
    assert [type(one) for one in first if isinstance(one, Kill | Trim)] == [Kill, Trim]
    assert trims(*first) == [0]
    run.feed(*(short(1300 + at) for at in range(10, 900, 10)))
    assert run.state.flight is not None
    assert trims(*run.actions) == [4000, 0]


def test_nothing_is_asked_for_while_it_is_critical_even_if_nobody_may_die() -> None:
    run = runner(make_app(1, -1000))
    run.feed(*(dying(1000 + at) for at in range(0, 2000, 50)))
    assert short_kib(run.settings, dying(1000), run.state.room), "it is short of memory and there is a store"
    assert (run.state.level, trims(*run.actions)) == ("critical", [])


def test_it_is_asked_for_again_when_the_kill_has_landed() -> None:
    run = runner()
    run.feed(dying(1000))
    [kill] = run.kills
    run.feed(short(1050, gone=tuple(victim.pid for victim in kill.victims)))
    assert run.state.flight is None
    assert trims(*run.actions) == [4000]


def test_a_new_state_asks_at_once() -> None:
    assert State().trimming is False
    assert trims(*runner().feed(short(0))) == [4000]


@effort(max_examples=EXAMPLES)
@given(boards())
def test_on_any_board_trimming_is_asked_for_seldom_and_never_in_the_middle_of_a_kill(spec: BoardSpec) -> None:
    turns, board = run(spec)
    asked_ms, trimming = -1e9, False
    for turn in turns:
        asked = trims(*turn.actions)
        assert len(asked) <= 1
        horizon_ms = with_learned(board.settings, turn.before.learned).kill_horizon_ms
        landed = turn.before.flight is not None and turn.after.flight is None
        busy = turn.after.flight is not None or (turn.after.exhaustion_ms <= horizon_ms and not landed)
        if busy:
            assert asked == ([0] if trimming else [])
        elif asked and not (trimming and asked == [0]):
            assert turn.sample.t_ms - asked_ms >= ASK_EVERY_MS
        if asked:
            asked_ms, trimming = turn.sample.t_ms, asked[0] > 0
        assert turn.after.trimming == trimming


def test_the_simulated_board_brings_trimming_about() -> None:
    turns, _board = run(BoardSpec((AppSpec(40_000), AppSpec(40_000), AppSpec(40_000, growth_kib_s=5000))), 20_000.0)
    asked = [kib for turn in turns for kib in trims(*turn.actions)]
    assert 0 in asked and max(asked) > 0
