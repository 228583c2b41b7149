"""The forecast: a burst counts at once, a drain is not forgotten in a pause, a restated headroom is no consumption."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.policy.forecast import KNOWN_MS, NEVER_MS, POINTS_MAX, SLOW_MS, Forecast, exhaustion_ms, observe, restart


def seen(*points: tuple[float, int]) -> Forecast:
    """A forecast of these (ms, KiB)."""
    forecast = Forecast()
    for t_ms, kib in points:
        forecast = observe(forecast, t_ms, kib)
    return forecast


def test_one_point_tells_no_rate() -> None:
    assert seen((0, 100)).rate_kib_s == 0


def test_consumption_is_the_fall_of_the_headroom_in_kib_a_second() -> None:
    assert seen((0, 9000), (50, 8000)).rate_kib_s == pytest.approx(20_000)


def test_a_rise_is_no_consumption() -> None:
    rising = seen((0, 1000), (50, 9000))
    assert (rising.rate_kib_s, rising.steady_kib_s) == (0, 0)


@pytest.mark.parametrize("apart", [0.0, 2.9])
def test_points_too_close_in_time_tell_no_rate(apart: float) -> None:
    assert seen((0, 9000), (apart, 0)).rate_kib_s == 0


def test_a_burst_counts_at_once_but_is_not_steady() -> None:
    burst = seen((0, 90_000), (500, 90_000), (1000, 90_000), (1050, 80_000))
    assert burst.rate_kib_s == pytest.approx(200_000)
    assert burst.steady_kib_s == pytest.approx(10_000 / 1.05)


def test_a_steady_drain_is_not_forgotten_in_a_pause() -> None:
    paused = seen((0, 90_000), (500, 80_000), (1000, 70_000), (1050, 70_000), (1090, 70_000))
    assert paused.fast_kib_s == pytest.approx(10_000 / 0.59 if paused.fast_kib_s else 0.0)
    assert paused.rate_kib_s >= 20_000 / 1.09 - 1


def test_after_a_long_rest_the_last_point_before_it_still_counts() -> None:
    assert seen((0, 90_000), (10_000, 80_000)).rate_kib_s == pytest.approx(1000)


def test_what_is_older_than_the_slow_window_is_forgotten() -> None:
    forecast = seen((0, 900_000), (1000, 10_000), (1000 + SLOW_MS, 10_000))
    assert forecast.rate_kib_s == 0


def test_no_more_points_are_kept_than_the_bound() -> None:
    assert len(seen(*((10.0 * at, at) for at in range(100))).points) <= POINTS_MAX


def test_many_looks_at_one_moment_do_not_make_it_forget_the_slope() -> None:
    forecast = seen((0, 90_000), (50, 85_000), *((50.0, 85_000) for _again in range(2 * POINTS_MAX)))
    assert forecast.rate_kib_s == pytest.approx(100_000)


def test_a_restated_headroom_is_no_consumption() -> None:
    forecast = observe(seen((0, 50_000), (50, 50_000)), 100, 30_000, -20_000)
    assert forecast.rate_kib_s == 0


def test_a_headroom_restated_after_a_long_rest_is_no_consumption() -> None:
    assert observe(seen((0, 50_000)), 10_000, 30_000, -20_000).rate_kib_s == 0


def test_a_restart_forgets_the_slope() -> None:
    assert restart(100, 5000) == Forecast(((100, 5000),))


@pytest.mark.parametrize(
    ("rate", "room", "ms"),
    [(1000, 500, 500), (1000, 0, 0), (1000, -5, 0), (0, 5, NEVER_MS), (0, 0, 0), (0.001, 10**9, NEVER_MS)],
)
def test_exhaustion_is_room_over_rate(rate: float, room: float, ms: float) -> None:
    assert exhaustion_ms(rate, room) == ms


def test_many_looks_in_a_short_time_do_not_shorten_the_slow_window() -> None:
    forecast = Forecast()
    for number in range(400):
        forecast = observe(forecast, number * 5.0, 400_000 - number * 50)
    assert forecast.points[-1][0] - forecast.points[0][0] > 0.8 * SLOW_MS


def test_a_forecast_that_knows_only_a_moment_says_nothing() -> None:
    """As it happened: 20.9 to 20.3 MB within 3 ms after a small death gave 213 MB/s."""
    fresh = observe(restart(1000, 20_900), 1003, 20_300)
    assert (fresh.fast_kib_s, fresh.slow_kib_s) == (0, 0)
    assert observe(fresh, 1000 + KNOWN_MS - 0.1, 19_000).rate_kib_s == 0
    assert observe(fresh, 1000 + KNOWN_MS, 20_100).rate_kib_s == pytest.approx(800 / KNOWN_MS * 1000)


@given(st.lists(st.tuples(st.floats(0, 5000), st.integers(0, 250_000)), min_size=1, max_size=60))
def test_after_a_restart_nothing_is_said_before_enough_is_known(points: list[tuple[float, int]]) -> None:
    forecast = restart(0.0, 250_000)
    for t_ms, kib in sorted(points):
        forecast = observe(forecast, t_ms, kib)
        if t_ms < KNOWN_MS:
            assert forecast.rate_kib_s == 0
