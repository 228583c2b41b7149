"""The level that is told: up at once, down when it has lasted; what it is judged by goes on as before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.policy.forecast import NEVER_MS
from lmkd.policy.pressure import LEVELS
from lmkd.policy.told import EASED, EASED_MS, Judged, tell, tell_again_ms
from lmkd.policy.wake import AFTER_MIN_MS
from tests.unit.policy.builders import SETTINGS, Run, with_headroom

RAM_KIB = SETTINGS.ram_kib
ROOMY, SHORT = RAM_KIB // 2, SETTINGS.headroom_floor_kib + RAM_KIB // 10


def told(*moments: tuple[float, str]) -> list[str]:
    """What is told at each of these moments, after calm."""
    level, judged, seen = "calm", Judged(), []
    for t_ms, now in moments:
        level, judged = tell(level, judged, now, t_ms)
        seen.append(level)
    return seen


def test_up_it_is_told_at_once() -> None:
    assert told((0, "low"), (1, "moderate"), (2, "critical")) == ["low", "moderate", "critical"]


@pytest.mark.parametrize("level", ["low", "moderate"])
def test_down_it_is_told_when_it_has_lasted(level: str) -> None:
    assert told((0, level), (500, "calm"), (499 + EASED_MS, "calm"), (500 + EASED_MS, "calm")) == [*[level] * 3, "calm"]


def test_a_level_that_comes_back_is_told_once_and_the_time_begins_anew() -> None:
    flapping = (0, "moderate"), (100, "calm"), (600, "moderate"), (700, "calm"), (2200, "low"), (2700, "low")
    assert told(*flapping) == [*["moderate"] * 5, "low"]


def test_after_a_long_rest_one_look_is_not_enough() -> None:
    assert told((0, "moderate"), (60_000, "calm"), (60_000 + EASED_MS, "calm")) == ["moderate", "moderate", "calm"]


def test_critical_is_over_at_once_and_no_more_than_that_is_told() -> None:
    assert told((0, "critical"), (10, "moderate")) == ["critical", "moderate"]
    assert told((0, "critical"), (10, "calm"), (5 + EASED_MS, "calm"), (10 + EASED_MS, "calm")) == [
        "critical", "moderate", "moderate", "calm",
    ]  # fmt: skip


@given(st.lists(st.tuples(st.floats(0, 3000), st.sampled_from(LEVELS)), min_size=1, max_size=30))
def test_it_is_never_lower_than_judged_and_reaches_that_in_the_time_it_names(
    steps: list[tuple[float, str]],
) -> None:
    level, judged, t_ms = "calm", Judged(), 0.0
    for after_ms, now in steps:
        t_ms += after_ms
        level, judged = tell(level, judged, now, t_ms)
        assert LEVELS.index(level) >= LEVELS.index(now) and judged.level == now
        assert (tell_again_ms(level, judged, t_ms) == NEVER_MS) == (level == now)
    waits_ms = tell_again_ms(level, judged, t_ms)
    if waits_ms < NEVER_MS:
        assert AFTER_MIN_MS <= waits_ms <= EASED_MS + 1e-6
        assert tell(level, judged, now, t_ms + waits_ms + 1e-6)[0] == now


def test_the_policy_looks_again_when_a_lower_level_may_be_told() -> None:
    run = Run()
    run.feed(with_headroom(0, SHORT), with_headroom(1000, SHORT), with_headroom(2000, ROOMY))
    assert (run.state.level, run.state.judged.level) == ("moderate", "calm")
    assert run.wake.after_ms == EASED_MS
    run.feed(with_headroom(2000 + EASED_MS, ROOMY))
    assert run.state.level == "calm" and run.wake.after_ms > EASED_MS
    assert [note["pressure"] for note in run.notes("pressure")] == ["moderate", "calm"]


def test_a_level_on_the_way_down_has_its_reason() -> None:
    run = Run()
    run.feed(with_headroom(0, ROOMY), with_headroom(1000, 1), with_headroom(2000, ROOMY))
    last = run.notes("pressure")[-1]
    assert (last["pressure"], last["reason"]) == ("moderate", EASED)
