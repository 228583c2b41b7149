"""The slope of the headroom, fast and slow, and the time to exhaustion that follows from it."""

from __future__ import annotations

from lmkd.values import value

POINTS_MAX = 40
FAST_MS = 100.0
SLOW_MS = 1500.0
SPAN_MIN_MS = 3.0
KNOWN_MS = 40.0
"""A forecast that knows less than this says nothing: just after a death the memory comes and goes in pieces."""
APART_MS = 75.0
NEVER_MS = 3_600_000.0


@value
class Forecast:
    """Recent (ms, KiB) points of the headroom, and its consumption in KiB/s over the fast and the slow window."""

    points: tuple[tuple[float, int], ...] = ()
    fast_kib_s: float = 0.0
    slow_kib_s: float = 0.0

    @property
    def rate_kib_s(self) -> float:
        """The consumption to reckon with: a burst counts at once, a steady drain is not forgotten in a pause."""
        return max(0.0, self.fast_kib_s, self.slow_kib_s)

    @property
    def steady_kib_s(self) -> float:
        """The consumption without its bursts, to compare a process's growth with."""
        return self.slow_kib_s if self.slow_kib_s > 0 else max(0.0, self.fast_kib_s)


def observe(forecast: Forecast, t_ms: float, total_kib: int, restated_kib: int = 0) -> Forecast:
    """The forecast with one more point.

    ``restated_kib`` is by how much the headroom is judged higher only because the store's ratio is now known better:
    that is no consumption, so the earlier points move with it.
    """
    recent = forecast.points[-POINTS_MAX:]
    if restated_kib:
        recent = tuple((at, kib + restated_kib) for at, kib in recent)
    first = 0
    while first < len(recent) - 1 and t_ms - recent[first][0] > SLOW_MS:
        first += 1
    kept = recent[first:]
    if len(kept) >= 2 and t_ms - kept[-2][0] < SPAN_MIN_MS:
        kept = kept[:-1]  # many wake-ups at one moment must not push out the points that a slope needs
    points = (*_thinned(kept, t_ms), (t_ms, total_kib))
    return Forecast(points, _slope(points, FAST_MS), _slope(points, SLOW_MS))


def _thinned(points: tuple[tuple[float, int], ...], t_ms: float) -> tuple[tuple[float, int], ...]:
    """When they get many, older points stand farther apart: else a busy moment would push the slow window out."""
    if len(points) < POINTS_MAX - 1:
        return points
    kept = [points[0]]
    for point in points[1:]:
        if t_ms - point[0] <= FAST_MS or point[0] - kept[-1][0] >= APART_MS:
            kept.append(point)
    return tuple(kept)


def restart(t_ms: float, total_kib: int) -> Forecast:
    """A forecast that knows only this moment: what came before (a victim's growth) no longer counts."""
    return Forecast(((t_ms, total_kib),))


def exhaustion_ms(rate_kib_s: float, room_kib: float) -> float:
    """Milliseconds until ``room_kib`` is used up at this rate; 0 when it is already, ``NEVER_MS`` when it never is."""
    if room_kib <= 0:
        return 0.0
    if rate_kib_s <= 0:
        return NEVER_MS
    return min(NEVER_MS, room_kib / rate_kib_s * 1000)


def _slope(points: tuple[tuple[float, int], ...], window_ms: float) -> float:
    """Consumption over the window: from its oldest point, or the one just before when the window holds only one."""
    last_ms, last_kib = points[-1]
    chosen = None
    for point in reversed(points[:-1]):
        if chosen is not None and last_ms - point[0] > window_ms:
            break
        chosen = point
    if chosen is None or last_ms - chosen[0] < SPAN_MIN_MS or last_ms - points[0][0] < KNOWN_MS:
        return 0.0
    return (chosen[1] - last_kib) / (last_ms - chosen[0]) * 1000
