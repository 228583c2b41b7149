"""The pace of warnings: rises at once, the same level again every 15 s while it stays, nothing in calm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lmkd.dbus.warnings import AGAIN_MS, VALUES, Warnings

STEPS = st.lists(st.tuples(st.sampled_from([*VALUES, "unknown"]), st.integers(0, 20_000)), max_size=40)


def run(*steps: tuple[float, str]) -> list[tuple[float, int]]:
    """The warnings of these changes, each at its time, and what follows of itself until the last change."""
    warnings, found, now_ms = Warnings(), list[tuple[float, int]](), 0.0
    for at_ms, level in steps:
        while (wait_ms := warnings.timeout_ms(now_ms)) is not None and now_ms + wait_ms < at_ms:
            now_ms += wait_ms
            value = warnings.take(now_ms)
            assert value is not None
            found.append((now_ms, value))
        now_ms = at_ms
        warnings.see(level)
        value = warnings.take(now_ms)
        found += [(now_ms, value)] if value is not None else []
    return found


def test_each_rise_is_told_at_once_with_the_value_that_glib_knows() -> None:
    assert run((1, "low"), (2, "moderate"), (3, "critical")) == [(1, 50), (2, 100), (3, 255)]


def test_a_level_that_stays_is_told_every_15_seconds() -> None:
    assert run((0, "moderate"), (50_000, "calm")) == [(0, 100), (15_000, 100), (30_000, 100), (45_000, 100)]


def test_what_comes_and_goes_within_15_seconds_is_told_once() -> None:
    assert run((0, "critical"), (10, "moderate"), (20, "critical"), (30, "calm"), (40, "low")) == [(0, 255)]


def test_a_lower_level_is_told_when_the_higher_one_is_over_for_15_seconds() -> None:
    assert run((0, "critical"), (1000, "low"), (20_000, "calm")) == [(0, 255), (15_000, 50)]


@given(STEPS)
def test_nobody_is_warned_in_calm_and_no_value_more_often_than_it_may_be(steps: list[tuple[str, int]]) -> None:
    warnings, now_ms, last = Warnings(), 0.0, dict[int, float]()
    for level, ms in steps:
        now_ms += ms
        warnings.see(level)
        wait_ms = warnings.timeout_ms(now_ms)
        value = warnings.take(now_ms)
        assert (wait_ms == 0.0) == (value is not None)
        if value is not None:
            assert value == VALUES[level] > 0
            assert now_ms - last.get(value, -AGAIN_MS) >= AGAIN_MS
            last[value] = now_ms
        elif VALUES.get(level, 0):
            assert wait_ms is not None and 0 < wait_ms <= AGAIN_MS
