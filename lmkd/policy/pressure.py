"""The one definition of pressure: its level, and whether something must die now, and why."""

from __future__ import annotations

from lmkd.model import Note, Sample, Settings
from lmkd.policy.forecast import Forecast, exhaustion_ms
from lmkd.policy.headroom import Headroom
from lmkd.values import value

LEVELS = ("calm", "low", "moderate", "critical")
LOW_PCT, MODERATE_PCT = 30, 15
"""Levels by headroom in percent of RAM above the floor; critical is what the killer itself acts on."""
HYSTERESIS_PCT = 3
REASONS = ("headroom is enough", f"headroom below {LOW_PCT}% of RAM", f"headroom below {MODERATE_PCT}% of RAM")
"""Of the levels below critical."""
OWN_PCT = 60
VAIN_S = 2000
"""So many pages a second that the store refuses are reclaim in vain: at 48 us each a tenth of a 500 MIPS core."""


@value
class Stall:
    """Counters at the start of the running stall window, and what the last full window came to."""

    since_ms: float = -1.0
    some_us: int = 0
    full_us: int = 0
    refaults: int | None = None
    some_pct: float = 0.0
    full_pct: float = 0.0
    refaults_s: float = 0.0
    refused: int | None = None
    refused_s: float = 0.0


@value
class Signs:
    """All that pressure is judged by. ``store_lasts_ms``: until the store is at its limit; None: it is not filling.

    ``store_fails_ms``: until the kernel takes no more and reclaims in vain, whatever cache there is.
    """

    room: Headroom
    forecast: Forecast
    stall: Stall
    store_lasts_ms: float | None
    own_pct: int = 0
    """How much of the memory that can still be stored is that of the process that grows."""
    store_fails_ms: float | None = None


@value
class Pressure:
    """The level, and the reason to kill now (empty: none) with how long the headroom lasts."""

    level: str
    reason: str
    exhaustion_ms: float
    deficit_kib: int


def measure_stall(stall: Stall, sample: Sample, window_ms: float) -> Stall:
    """Close the window when it is full; a kernel without PSI leaves everything as it is, None refaults stay unknown."""
    if sample.some_us is None or sample.full_us is None:
        return stall
    known = sample.refault_anon is not None or sample.refault_file is not None
    refaults = (sample.refault_anon or 0) + (sample.refault_file or 0) if known else None
    if stall.since_ms < 0 or sample.t_ms - stall.since_ms > 10 * window_ms:
        return Stall(sample.t_ms, sample.some_us, sample.full_us, refaults, refused=sample.refused)
    elapsed = sample.t_ms - stall.since_ms
    if elapsed < window_ms:
        return stall
    some = (sample.some_us - stall.some_us) / elapsed / 10
    full = (sample.full_us - stall.full_us) / elapsed / 10
    counted = 0 if refaults is None or stall.refaults is None else refaults - stall.refaults
    in_vain = 0 if sample.refused is None or stall.refused is None else sample.refused - stall.refused
    rates = counted / elapsed * 1000, sample.refused, in_vain / elapsed * 1000
    return Stall(sample.t_ms, sample.some_us, sample.full_us, refaults, some, full, *rates)


def judge(settings: Settings, signs: Signs, previous: str) -> Pressure:
    """Level and reason. The reason needs the forecast or the stall, and neither counts with memory mostly free."""
    floor = settings.headroom_floor_kib
    left = signs.room.total_kib - floor
    lasts = exhaustion_ms(signs.forecast.rate_kib_s, left)
    reason = _reason(settings, signs, left, lasts)
    # What must come back is reckoned without bursts: a burst calls for a kill in time, not for more kills.
    horizon_kib = int(signs.forecast.steady_kib_s * settings.kill_horizon_ms / 1000)
    deficit = max(floor if reason else 0, floor + floor // 2 + 2 * horizon_kib - signs.room.total_kib)
    return Pressure(_level(settings, left, previous, bool(reason)), reason, lasts, deficit)


def pressure_note(pressure: Pressure, room: Headroom, rate_kib_s: float, sample: Sample) -> Note:
    """The record of a change of level."""
    fields: tuple[tuple[str, object], ...] = (
        ("pressure", pressure.level),
        ("headroom_kib", room.total_kib),
        ("free_kib", room.free_kib),
        ("cache_kib", room.cache_kib),
        ("store_kib", room.store_kib),
        ("rate_kib_s", round(rate_kib_s)),
        ("cause", sample.cause),
        ("reason", pressure.reason or REASONS[LEVELS.index(pressure.level)]),
    )
    return Note("pressure", fields, "warning" if pressure.level == "critical" else "info")


def _reason(settings: Settings, signs: Signs, left_kib: int, lasts_ms: float) -> str:
    room, stall = signs.room, signs.stall
    if left_kib <= 0:
        return "headroom below its floor"
    if lasts_ms <= settings.kill_horizon_ms:
        return "forecast: exhausted before a kill could help"
    store_only = room.free_kib + room.cache_kib <= settings.headroom_floor_kib
    if store_only and signs.store_lasts_ms is not None and signs.store_lasts_ms <= 2 * settings.kill_horizon_ms:
        # Past its limit every write fails, and the kernel reclaims in vain: a dying process spins in that as well.
        return "the store is full before a kill could help"
    if signs.store_fails_ms is not None and signs.store_fails_ms <= 2 * settings.kill_horizon_ms:
        return "the store's pool is full before a kill could help"
    budget_pct = settings.stall_budget_ms * 100 / settings.stall_window_ms
    if store_only and room.free_kib <= 0 and stall.full_pct > budget_pct and stall.refused_s >= VAIN_S:
        return "the kernel reclaims in vain: the store refuses what it gets"
    # With all that is idle in the store already, reclaim turns over what runs together with what grows.
    scarce = left_kib < settings.stall_free_kib or signs.own_pct >= OWN_PCT
    if scarce and room.free_kib <= 0 and stall.full_pct > budget_pct and stall.refaults_s > 0:
        return "stall: the foreground waits for memory that others hold"
    return ""


def _level(settings: Settings, left_kib: int, previous: str, must_kill: bool) -> str:
    if must_kill:
        return "critical"
    pct = left_kib * 100 / settings.ram_kib
    slack = HYSTERESIS_PCT if LEVELS.index(previous) >= 2 else 0
    if pct < MODERATE_PCT + slack:
        return "moderate"
    slack = HYSTERESIS_PCT if previous != "calm" else 0
    return "low" if pct < LOW_PCT + slack else "calm"
