"""Respawn hold-down: bounded, always over, growing with each return, forgotten after a quiet while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.policy.respawn import (
    BORN_SLACK_MS,
    FORGET_MS,
    SUSPECTS_MAX,
    Suspect,
    ended,
    forget,
    may_be,
    meet,
    pause_ms,
)

BASE_MS, MAX_MS = 1000.0, 60_000.0
HOG = ("hog", 0, 77)
OTHER = ("hog", 0, 78)

Suspects = tuple[Suspect, ...]


def seen(suspects: Suspects, born_ms: float, t_ms: float) -> tuple[Suspects, float | None]:
    """The suspects after the hog is met, and for how long it is held."""
    suspects, held = meet(suspects, HOG, born_ms, t_ms, BASE_MS, MAX_MS)
    return suspects, None if held is None or held.until_ms is None else held.until_ms - t_ms


def rounds(count: int, lives_ms: float = 1500.0) -> list[float]:
    """Holds of a hog that is started again at once and ended ``lives_ms`` after it was let go."""
    suspects: Suspects = ()
    born = t = 1000.0
    holds = []
    for _ in range(count):
        suspects = ended(suspects, HOG, born, t)
        born = t + 50
        suspects, ms = seen(suspects, born, born)
        holds.append(ms or 0.0)
        t = born + holds[-1] + lives_ms
    return holds


def test_each_return_is_held_twice_as_long_up_to_the_most() -> None:
    assert rounds(9) == [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]


def test_one_that_lives_long_enough_begins_anew() -> None:
    assert rounds(4, lives_ms=FORGET_MS + 1) == [1000, 1000, 1000, 1000]
    assert rounds(2, lives_ms=FORGET_MS - 100) == [1000, 2000]


def test_nobody_is_held_who_was_not_ended_or_is_another() -> None:
    suspects = ended((), HOG, 500, 1000)
    assert seen((), 1050, 1050) == ((), None)
    assert meet(suspects, OTHER, 1050, 1050, BASE_MS, MAX_MS)[1] is None
    assert may_be(suspects, "hog", 1050, 1050) and not may_be(suspects, "cat", 1050, 1050)


def test_a_brother_that_was_there_before_is_let_be() -> None:
    suspects = ended((), HOG, 500, 1000)
    assert seen(suspects, 990 - BORN_SLACK_MS, 1050)[1] is None
    assert not may_be(suspects, "hog", 900, 1050)
    assert seen(suspects, 995, 1050)[1] == BASE_MS  # a start time is rounded down


def test_a_young_one_that_is_still_dying_has_not_come_back() -> None:
    assert seen(ended((), HOG, 995, 1000), 995, 1010)[1] is None


def test_brothers_that_die_together_are_one_round() -> None:
    suspects: Suspects = ()
    for number in range(8):
        suspects = ended(suspects, HOG, 500 + number, 1000 + number)
    suspects, ms = seen(suspects, 1100, 1100)
    assert (ms, seen(suspects, 1300, 1300)[1]) == (BASE_MS, BASE_MS - 200)


def test_who_comes_when_the_hold_is_over_runs() -> None:
    suspects, _ = seen(ended((), HOG, 500, 1000), 1050, 1050)
    assert seen(suspects, 2060, 2060)[1] is None
    assert not may_be(suspects, "hog", 2060, 2060)


def test_it_counts_once_when_the_guard_tells_twice() -> None:
    suspects = ended((), HOG, 500, 1000)
    assert ended(suspects, HOG, 500, 1400)[0].round == 1


def test_of_too_many_the_quietest_is_dropped() -> None:
    suspects: Suspects = ()
    for number in range(SUSPECTS_MAX + 5):
        suspects = ended(suspects, ("hog", 0, number), 0, 1000 + number)
    assert [one.identity[2] for one in suspects] == list(range(5, SUSPECTS_MAX + 5))


@pytest.mark.parametrize("number", [1, 5, 40, 10**6])
def test_a_pause_is_bounded_whatever_the_round(number: int) -> None:
    assert 0 < pause_ms(number, BASE_MS, MAX_MS) <= MAX_MS


LIVES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.floats(0, 70_000), st.floats(0, 70_000)), max_size=60
)


@given(LIVES, st.floats(1, 5000), st.floats(100, 100_000))
def test_whatever_comes_and_goes_every_hold_is_bounded_and_ends(
    lives: list[tuple[bool, int, float, float]], base_ms: float, max_ms: float
) -> None:
    suspects: Suspects = ()
    t = 1000.0
    for dies, number, age_ms, apart_ms in lives:
        identity = ("hog", 0, number)
        t += apart_ms
        if dies:
            before = next((one for one in forget(suspects, t) if one.identity == identity), None)
            suspects = ended(suspects, identity, t - age_ms, t)
            after = suspects[-1]
            assert after.identity == identity
            assert after.round - (before.round if before else 0) in (0, 1)
            assert before is None or after.killed_ms >= before.killed_ms
        else:
            suspects, held = meet(suspects, identity, t - age_ms, t, base_ms, max_ms)
            if held is not None:
                assert held.until_ms is not None
                assert t < held.until_ms <= t + max_ms
                assert meet(suspects, identity, t - age_ms, held.until_ms, base_ms, max_ms)[1] is None
        assert len(suspects) <= SUSPECTS_MAX
        assert len({one.identity for one in suspects}) == len(suspects)
    assert forget(suspects, t + max_ms + FORGET_MS + 1) == ()


@given(st.integers(1, 40), st.floats(1, 5000), st.floats(100, 100_000))
def test_the_back_off_never_shrinks(number: int, base_ms: float, max_ms: float) -> None:
    assert pause_ms(number, base_ms, max_ms) <= pause_ms(number + 1, base_ms, max_ms)
