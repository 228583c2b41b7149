"""Who is told of pressure has time to give memory back before anybody dies for it, whatever grows."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lmkd.model import Trim
from lmkd.policy.pressure import CRITICAL_MS
from lmkd.policy.wake import AFTER_MIN_MS, AFTER_SEEN_MS
from tests.unit.policy.builders import (
    FLOOR_KIB,
    SWAP_KIB,
    Run,
    kills_in,
    make_app,
    make_store,
    with_headroom,
)
from tests.unit.policy.simulated import AppSpec, BoardSpec, run

WORK_MS = 200.0
"""What an application may take from the notice until its memory is back."""
GROWING_MS = 30_000.0


def told_and_killed(spec: BoardSpec) -> tuple[dict[str, float], str]:
    """How long before the first kill each level was reached last, and why there was one; nothing without a kill."""
    reached: dict[str, float] = {}
    for turn in run(spec, GROWING_MS, 20_000)[0]:
        if turn.before.level != turn.after.level:
            reached[turn.after.level] = turn.sample.t_ms
        for kill in kills_in(turn.actions):
            leads = {level: turn.sample.t_ms - t_ms for level, t_ms in reached.items()}
            return leads, str(dict(kill.numbers)["trigger"])
    return {}, ""


@settings(max_examples=20, deadline=None)
@given(
    st.integers(5_000, 60_000), st.sampled_from((1.5, 2.0, 3.0)), st.integers(2, 12),
    st.sampled_from((8_000, 30_000, 60_000)),
)  # fmt: skip
def test_levels_come_in_time_to_drop_a_cache(growth_kib_s: int, ratio: float, others: int, cache_kib: int) -> None:
    grows = AppSpec(1000, 200, growth_kib_s, grows_from_ms=3000, ratio=ratio)
    leads, trigger = told_and_killed(
        BoardSpec((AppSpec(24_000, 0, is_declared=True), *[AppSpec(12_000, ratio=3.0)] * others, grows), cache_kib)
    )
    if trigger and not trigger.startswith("stall"):  # which nothing foretells but the headroom
        assert min(leads["critical"], leads.get("moderate", WORK_MS)) >= WORK_MS, (leads, trigger)


def used_up(run: Run, until_ms: float, **changes: Any) -> None:
    """Feed it a board that uses 20 MB/s for two seconds, until the rest lasts ``until_ms`` above the floor."""
    for t_ms in range(0, 2001, 100):
        run.feed(with_headroom(t_ms, FLOOR_KIB + int(20 * (until_ms + 2000 - t_ms)), cause="faults", **changes))


def test_what_is_told_ahead_makes_nobody_look_more_often_than_the_forecast_asks_for() -> None:
    run = Run([make_app(1)])
    used_up(run, CRITICAL_MS)
    assert (run.state.level, run.kills) == ("critical", [])
    assert run.wake.after_ms > AFTER_SEEN_MS["critical"] >= AFTER_MIN_MS


def test_idle_applications_are_stored_until_somebody_has_to_die() -> None:
    run = Run([make_app(1)])
    used_up(run, CRITICAL_MS, swap_total_kib=SWAP_KIB, swap_free_kib=SWAP_KIB, anon_kib=4000, store=make_store())
    assert (run.state.level, run.kills) == ("critical", [])
    assert run.state.trimming and [one for one in run.actions if isinstance(one, Trim)][-1].kib > 0
