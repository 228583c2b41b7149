"""The one definition of pressure: its level, and whether something must die now, and why."""

from __future__ import annotations

from lmkd.model import Sample, Settings
from lmkd.policy.forecast import Forecast, exhaustion_ms
from lmkd.policy.headroom import Headroom
from lmkd.policy.thrash import Thrash
from lmkd.values import value

LEVELS = ("calm", "low", "moderate", "critical")
LOW_PCT, MODERATE_PCT = 30, 15
"""Levels by headroom in percent of RAM above the floor."""
MODERATE_MS, CRITICAL_MS = 1500.0, 500.0
"""And by the time until somebody has to die: an application that is told needs some of it to give memory back."""
UNSURE_MS = 20_000.0
"""Moderate instead, when nothing is left but the store: how much that takes is known when it has taken it, and reclaim
slows what grows. Measured on 256 MB, with 15 to 30 MB/s and an idle 40 MB that did not compress: from 70 MB of room,
used at 5 MB/s, to none within 0.7 to 1.3 s."""
USED_UP_FLOORS = 2
"""Nothing is left but the store when free memory and cache are no more than so many floors."""
HYSTERESIS_PCT = 3
HYSTERESIS_FACTOR = 2
REASONS = ("headroom is enough", f"headroom below {LOW_PCT}% of RAM", f"headroom below {MODERATE_PCT}% of RAM")
"""Of the levels below critical, where the forecast is no reason."""
OWN_PCT = 60
VAIN_S = 2000
"""So many pages a second that the store refuses, or keeps as they are since they do not compress, are reclaim in vain:
at 48 us each a tenth of a 500 MIPS core."""
PAGE_KIB = 4


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
    thrash: Thrash = Thrash()


@value
class Pressure:
    """The level, and the reason to kill now (empty: none) with how long the headroom lasts."""

    level: str
    reason: str
    exhaustion_ms: float
    deficit_kib: int
    why: str = ""
    """The reason for the level."""
    shortage: str = "calm"
    """The level by the headroom alone, or critical with a reason: what is done about files and frozen applications
    costs somebody something, so it waits for a shortage where a notice is ahead of one."""


def measure_stall(stall: Stall, sample: Sample, window_ms: float) -> Stall:
    """Close the window when it is full; a kernel without PSI leaves everything as it is, None refaults stay unknown."""
    if sample.some_us is None or sample.full_us is None:
        return stall
    known = sample.refault_anon is not None or sample.refault_file is not None
    refaults = (sample.refault_anon or 0) + (sample.refault_file or 0) if known else None
    if stall.since_ms < 0 or sample.t_ms - stall.since_ms > 10 * window_ms:
        return Stall(sample.t_ms, sample.some_us, sample.full_us, refaults, refused=_in_vain(sample))
    elapsed = sample.t_ms - stall.since_ms
    if elapsed < window_ms:
        return stall
    some = (sample.some_us - stall.some_us) / elapsed / 10
    full = (sample.full_us - stall.full_us) / elapsed / 10
    counted = 0 if refaults is None or stall.refaults is None else refaults - stall.refaults
    refused = _in_vain(sample)
    in_vain = 0 if refused is None or stall.refused is None else max(0, refused - stall.refused)
    rates = counted / elapsed * 1000, refused, in_vain / elapsed * 1000
    return Stall(sample.t_ms, sample.some_us, sample.full_us, refaults, some, full, *rates)


def _in_vain(sample: Sample) -> int | None:
    """Pages that were reclaimed so far without anything gained: refused by zswap, or kept as they are by zram."""
    if sample.refused is not None or sample.store is None or sample.store.huge_kib is None:
        return sample.refused
    return sample.store.huge_kib // PAGE_KIB


def judge(settings: Settings, signs: Signs, previous: str) -> Pressure:
    """Level and reason. The reason needs the forecast or the stall, and neither counts with memory mostly free."""
    floor = settings.headroom_floor_kib
    left = signs.room.total_kib - floor
    lasts = exhaustion_ms(signs.forecast.rate_kib_s, left)
    reason = _reason(settings, signs, left, lasts)
    # What must come back is reckoned without bursts: a burst calls for a kill in time, not for more kills.
    horizon_kib = int(signs.forecast.steady_kib_s * settings.kill_horizon_ms / 1000)
    least_kib = max(floor, signs.thrash.deficit_kib) if reason else 0
    deficit = max(least_kib, floor + floor // 2 + 2 * horizon_kib - signs.room.total_kib)
    level = "critical" if reason else _level(settings, left, previous)
    why = reason or REASONS[LEVELS.index(level)]
    shortage = level
    ahead, soon = _ahead(settings, signs, left, previous, level == "calm")
    if LEVELS.index(ahead) > LEVELS.index(level):
        level, why = ahead, soon
    return Pressure(level, reason, lasts, deficit, why, shortage)


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
    waits = room.free_kib <= 0 and stall.full_pct > budget_pct
    # It stores rather than drop what cache there is (vm.swappiness): where storing gains nothing, that is no room.
    hopeless = room.store_kib <= settings.headroom_floor_kib and left_kib < settings.stall_free_kib
    if waits and (store_only or hopeless) and stall.refused_s >= VAIN_S:
        return "the kernel reclaims in vain: what it stores is refused, or does not compress"
    if signs.thrash.lasts and room.free_kib <= settings.headroom_floor_kib:
        return "stall: what is in use does not fit, its pages come and go"
    # With all that is idle in the store already, reclaim turns over what runs together with what grows.
    scarce = left_kib < settings.stall_free_kib or signs.own_pct >= OWN_PCT
    if scarce and waits and stall.refaults_s > 0:
        return "stall: the foreground waits for memory that others hold"
    return ""


def _ahead(settings: Settings, signs: Signs, left_kib: int, previous: str, roomy: bool) -> tuple[str, str]:
    """The level by the time that is left before somebody has to die, and why; calm: that is not in sight.

    By the slow rate: what takes much at once and then stops is no reason for others to drop what they have. Nor is any
    rate while there is much left (``roomy``) besides the store.
    """
    room, horizon_ms = signs.room, settings.kill_horizon_ms
    floors = USED_UP_FLOORS if LEVELS.index(previous) < 2 else USED_UP_FLOORS * HYSTERESIS_FACTOR
    used_up = room.free_kib + room.cache_kib <= settings.headroom_floor_kib * floors
    rate_kib_s = signs.forecast.slow_kib_s if used_up or not roomy else 0.0
    left_ms, what = exhaustion_ms(rate_kib_s, left_kib) - horizon_ms, "memory"
    for ends_ms in (signs.store_lasts_ms if used_up else None, signs.store_fails_ms):
        if ends_ms is not None and ends_ms - 2 * horizon_ms < left_ms:
            left_ms, what = ends_ms - 2 * horizon_ms, "the store"
    for level, ahead_ms in (("critical", CRITICAL_MS), ("moderate", UNSURE_MS if used_up else MODERATE_MS)):
        factor = HYSTERESIS_FACTOR if LEVELS.index(previous) >= LEVELS.index(level) else 1
        if left_ms <= ahead_ms * factor:
            return level, f"forecast: {what} is used up in less than {(ahead_ms * factor + horizon_ms) / 1000:.1f} s"
    if signs.own_pct >= OWN_PCT and room.free_kib <= 0:
        return "moderate", "what grows holds most of what could still be stored"
    return "calm", ""


def _level(settings: Settings, left_kib: int, previous: str) -> str:
    """The level by the headroom alone."""
    pct = left_kib * 100 / settings.ram_kib
    slack = HYSTERESIS_PCT if LEVELS.index(previous) >= 2 else 0
    if pct < MODERATE_PCT + slack:
        return "moderate"
    slack = HYSTERESIS_PCT if previous != "calm" else 0
    return "low" if pct < LOW_PCT + slack else "calm"
