"""When to look again: seldom with room to spare, every few milliseconds when the forecast is short."""

from __future__ import annotations

from lmkd.model import Settings, Wake
from lmkd.policy.forecast import Forecast, exhaustion_ms
from lmkd.policy.headroom import Headroom

TYPE_CHECKING = False

AFTER_MIN_MS = 10.0
"""A look costs 1.8 ms of a 500 MIPS core while it is not calm: every 5 ms was time that the foreground then lacked."""
FLIGHT_MS = 10.0
AFTER_BLIND_MS = {"calm": 10_000.0, "low": 500.0, "moderate": 100.0, "critical": 10.0}
"""Without the fault meter nothing tells of sudden growth before the kernel stalls, so the timer must be shorter."""
AFTER_SEEN_MS = {"calm": 10_000.0, "low": 10_000.0, "moderate": 1000.0, "critical": 20.0}
PERIOD_MIN_KIB, PERIOD_MAX_KIB = 1 << 10, 32 << 10
"""What the page faults of a period may bring: 256 to 8192 pages of 4 KiB, a quarter as many of the 16 KiB of others."""
STORE_FILLS_KIB_S = 100 * 1024
"""What a core of this class can put into the store at most (lz4, 500 MIPS: about 25 microseconds a page and more)."""
RECLAIM_MS = 50.0
"""While the kernel reclaims as fast as it can (below the low watermark)."""
LOOK_MIN_MS = 30.0
LOOKS = 4
"""How often to look while the distance to the next decision is used up at the present rate."""


def next_wake(settings: Settings, level: str, room: Headroom, forecast: Forecast, in_flight: bool) -> Wake:
    """The next look: by time, and by the number of page faults when the kernel counts them for us."""
    rate = forecast.rate_kib_s
    distance = room.total_kib - settings.headroom_floor_kib - rate * settings.kill_horizon_ms / 1000
    ready = max(0, room.free_kib) + room.cache_kib - settings.trim_free_kib
    limits = AFTER_SEEN_MS if settings.fault_meter else AFTER_BLIND_MS
    after = min(float(settings.idle_interval_ms), limits[level], exhaustion_ms(rate, distance) / LOOKS)
    if room.free_kib < 0:
        # What is read from files takes no page fault, and PSI tells once in its window.
        after = min(after, RECLAIM_MS)
    if rate > 0 and room.free_kib + room.cache_kib <= settings.headroom_floor_kib:
        # What goes into the store takes no page fault, and pages that do not compress fill it as fast as it can take.
        after = min(after, exhaustion_ms(STORE_FILLS_KIB_S, room.store_left_kib - room.rise_kib) / LOOKS)
    if rate > 0 and room.pool_left_kib is not None and room.free_kib <= settings.headroom_floor_kib:
        after = min(after, exhaustion_ms(STORE_FILLS_KIB_S, room.pool_left_kib) / LOOKS)
    if in_flight:
        after = min(after, FLIGHT_MS)
    faults = 0
    if settings.fault_meter:
        # Trimming must begin in time as well, where there is anything to trim for.
        nearest = min(distance, ready) if settings.trim and ready > 0 else distance
        # Not oftener than looking pays: each look costs 1.5 ms of the core that the foreground needs.
        paced = min(rate * LOOK_MIN_MS / 1000, distance / 2)
        wanted_kib = min(PERIOD_MAX_KIB, max(PERIOD_MIN_KIB, int(paced), int(nearest / LOOKS)))
        # Each change of the period costs one wake-up at the next fault (the kernel starts a period that has
        # nothing left of it), so it changes by powers of two only.
        faults = 1 << (max(1, wanted_kib // settings.page_kib).bit_length() - 1)
    return Wake(max(AFTER_MIN_MS, after), faults)
