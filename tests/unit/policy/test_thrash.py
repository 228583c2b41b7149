"""What is in use does not fit: pages leave and come back while all wait, however much room the store has."""

from __future__ import annotations

from typing import Any

import pytest

from lmkd.model import Sample
from lmkd.policy.thrash import COMES_BACK_S, WINDOW_STALLS, WINDOWS, Thrash, after_kill, watch_thrash
from lmkd.values import replace
from tests.unit.policy.builders import FLOOR_KIB, SETTINGS, Run, make_app, make_sample, pids

WINDOW_MS = WINDOW_STALLS * SETTINGS.stall_window_ms
STEP_MS = 100.0
ROOMY = {"free_kib": 2000, "file_kib": 0, "anon_kib": 200_000}
CACHED = [make_app(100 + n, priority=900, gain_kib=4000 + n) for n in range(12)]


def turning(t_ms: float, full_pct: float = 50.0, back_s: float = 4000.0, left_s: float = 4000.0, **more: Any) -> Sample:
    """A sample of a board on which this goes on from the beginning of time."""
    counts = {"swapped_in": int(back_s * t_ms / 1000), "swapped_out": int(left_s * t_ms / 1000)}
    return make_sample(t_ms, full_us=int(full_pct * t_ms * 10), some_us=int(full_pct * t_ms * 10), **counts, **more)


def after(windows: float, **more: Any) -> Thrash:
    """What is known when that has gone on for so many windows."""
    thrash, t_ms = Thrash(), 10_000.0
    while t_ms <= 10_000.0 + windows * WINDOW_MS + STEP_MS:
        thrash = watch_thrash(thrash, turning(t_ms, **more), SETTINGS)
        t_ms += STEP_MS
    return thrash


def test_what_goes_on_lasts_and_not_before() -> None:
    assert not after(WINDOWS - 0.5).lasts
    assert after(WINDOWS + 0.5).lasts


@pytest.mark.parametrize(
    "unlike",
    [{"full_pct": 5.0}, {"back_s": COMES_BACK_S - 100}, {"left_s": COMES_BACK_S - 100}],
    ids=("nobody waits", "what left stays away", "there is room for what comes back"),
)
def test_it_is_no_thrashing_when(unlike: dict[str, float]) -> None:
    assert after(5, **unlike) == replace(after(5, **unlike), windows=0)


@pytest.mark.parametrize("missing", ["full_us", "swapped_in", "swapped_out"])
def test_a_kernel_that_does_not_tell_shows_none(missing: str) -> None:
    seen = replace(turning(20_000), **{missing: None})
    assert watch_thrash(after(5), seen, SETTINGS) == Thrash()


def test_one_window_without_it_begins_anew_and_so_does_a_pause_of_the_guard() -> None:
    bad = after(5)
    rested = replace(turning(bad.since_ms + WINDOW_MS), full_us=bad.full_us)
    assert watch_thrash(bad, rested, SETTINGS).windows == 0
    assert watch_thrash(bad, turning(bad.since_ms + 3 * WINDOW_MS), SETTINGS).windows == 0


def test_after_a_kill_one_window_is_enough_and_the_next_returns_more_up_to_a_limit() -> None:
    once = after_kill(after(5), SETTINGS)
    assert (once.windows, once.deficit_kib) == (WINDOWS - 1, 2 * FLOOR_KIB)
    twice = after_kill(replace(once, windows=WINDOWS), SETTINGS)
    assert twice.deficit_kib == 4 * FLOOR_KIB
    most = after_kill(replace(twice, windows=WINDOWS, deficit_kib=10**6), SETTINGS)
    assert most.deficit_kib == SETTINGS.stall_free_kib
    assert after_kill(Thrash(), SETTINGS) == Thrash()


def test_a_board_that_thrashes_with_room_in_the_store_ends_somebody() -> None:
    run = Run(CACHED)
    for n in range(40):
        run.feed(turning(10_000 + n * STEP_MS, **ROOMY))
    assert str(dict(run.kills[0].numbers)["trigger"]) == "stall: what is in use does not fit, its pages come and go"
    assert run.state.room.total_kib > SETTINGS.stall_free_kib


def test_the_second_kill_is_larger_and_comes_sooner_than_the_first_did() -> None:
    run = Run(CACHED)
    times: list[float] = []
    t_ms = 10_000.0
    while len(times) < 3 and t_ms < 40_000:
        before = len(run.kills)
        gone = pids(run.kills[-1]) if run.kills and run.state.flight is not None else ()
        run.feed(turning(t_ms, gone=gone, **ROOMY))
        times += [t_ms] if len(run.kills) > before else []
        t_ms += STEP_MS
    first, second, third = (sum(victim.predicted_kib for victim in kill.victims) for kill in run.kills)
    assert first < second < third
    assert times[1] - times[0] < times[0] - 10_000 < 3 * WINDOW_MS


def test_with_memory_free_nobody_dies_of_it() -> None:
    run = Run(CACHED)
    for n in range(60):
        run.feed(turning(10_000 + n * STEP_MS, **{**ROOMY, "free_kib": 40_000}))
    assert run.kills == []
