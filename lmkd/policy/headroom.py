"""Physical headroom: how much more memory applications can take before the kernel has to stall them."""

from __future__ import annotations

from lmkd.model import Sample, Settings
from lmkd.policy.governor import may_rise_kib
from lmkd.values import replace, value

RATIO_DEFAULT = 2.5
RATIO_MIN, RATIO_MAX = 1.0, 6.0
FILLS_FORGOTTEN_MS = 500.0
RATIO_FULL_KIB = 6144
RATIO_STEP_KIB = 2048
"""The marginal ratio is measured anew for every so much that the store took: less is noise of its own bookkeeping."""
SWAPPABLE_PCT = 75
"""Share of the anonymous memory that can be stored at all without storing what runs: the rest is somebody's work."""
DISK_KIB_S, DISK_MS = 8192, 1000
"""What a swap on a disk counts: as much as slow flash takes while a kill would still come in time. Growth below that
speed is written out as it comes, anything faster ends in a stall however large the disk is."""


@value
class Headroom:
    """All in KiB. ``free`` is above the low watermark and may be negative; ``total`` is the sum of free, cache, store,
    disk.

    Not part of the sum: ``store_left_kib`` is the RAM that the store may still take, ``rise_kib`` of it only when the
    governor has raised its limit; ``pool_left_kib`` is what it could take until the kernel refuses and reclaims in
    vain, None where there is no such limit.
    """

    free_kib: int
    cache_kib: int
    store_kib: int
    total_kib: int
    store_left_kib: int = 0
    disk_kib: int = 0
    rise_kib: int = 0
    pool_left_kib: int | None = None


@value
class StoreRatio:
    """The marginal ratio of the store: what the last pages that went in occupy, not the average of all.

    ``fills_kib_s`` is how fast the store's own RAM grew while it was measured, ``t_ms`` when that was.
    """

    ratio: float = RATIO_DEFAULT
    orig_kib: int = -1
    used_kib: int = -1
    t_ms: float = 0.0
    fills_kib_s: float = 0.0


def headroom(
    sample: Sample, settings: Settings, ratio: float, grower_ratio: float | None = None, growing_kib: int | None = None
) -> Headroom:
    """Free above the watermarks, clean cache above the floor, and what the store gives back net of its own RAM.

    Storing ``m`` KiB frees ``m`` and takes ``m / ratio``, so it gains ``m * (1 - 1 / ratio)``. SwapFree alone tells
    nothing: a zram at its mem_limit fails writes while SwapFree looks healthy. The pages of a process that grows are
    reckoned at their own ratio when that is known and lower: they will be most of what is stored.
    """
    free = sample.free_kib - settings.watermark_low_kib
    # Shmem is counted in the kernel's "file" LRUs nowhere in these figures: the lists used here are per type.
    cache = max(0, sample.file_kib - sample.dirty_kib - settings.file_floor_kib)
    slots, disk = _slots_and_disk(sample)
    left, rise = slots, 0
    if sample.store is not None and sample.store.limit_kib > 0:
        rise = may_rise_kib(sample.store, settings, min(ratio, grower_ratio or ratio))
        left = max(0, sample.store.limit_kib + rise - sample.store.used_kib)
    resident = sample.grower_resident_kib or 0 if growing_kib is None else growing_kib
    growing = min(sample.anon_kib, resident) if grower_ratio is not None else 0
    others = max(0, (sample.anon_kib + sample.shmem_kib) * SWAPPABLE_PCT // 100 - growing)
    store = stored = 0
    for pages, at in ((others, ratio), (growing, min(ratio, grower_ratio or ratio))):
        moved = min(pages, slots - stored, int((left - store_taken(stored, store)) * at))
        if moved > 0 and at > 1:
            stored += moved
            store += int(moved * (1 - 1 / at))
    pool_left = None
    if sample.store is not None and sample.store.full_kib > 0:
        pool_left = sample.store.full_kib - sample.store.used_kib
    disk = min(disk, max(0, others + growing - stored), DISK_KIB_S * DISK_MS // 1000)
    return Headroom(free, cache, store, free + cache + store + disk, min(left, slots), disk, rise, pool_left)


def _slots_and_disk(sample: Sample) -> tuple[int, int]:
    """SwapFree apart: what is free in the compressed store, and what is on disks and will be reached."""
    store, free = sample.store, sample.swap_free_kib
    if store is None:
        return 0, free
    if store.slots_free_kib is None:
        return free, 0
    slots = min(free, store.slots_free_kib)
    return slots, 0 if store.closes else free - slots


def store_taken(stored_kib: int, gained_kib: int) -> int:
    """RAM that the store takes for ``stored_kib`` when that gains ``gained_kib``."""
    return stored_kib - gained_kib


def measure_ratio(previous: StoreRatio, sample: Sample) -> StoreRatio:
    """The marginal ratio after this sample; unchanged until the store has taken another ``RATIO_STEP_KIB``.

    A large step counts in full, a small one in part: compressible idle pages go in first, and what grows without end
    may be nothing like them.
    """
    store = sample.store
    if store is None:
        return previous
    if previous.orig_kib < 0 or store.orig_kib < previous.orig_kib:
        return StoreRatio(previous.ratio, store.orig_kib, store.used_kib, sample.t_ms)
    taken = store.orig_kib - previous.orig_kib
    if taken < RATIO_STEP_KIB:
        return replace(previous, fills_kib_s=0.0) if sample.t_ms - previous.t_ms > FILLS_FORGOTTEN_MS else previous
    occupied = max(1, store.used_kib - previous.used_kib)
    fresh = min(RATIO_MAX, max(RATIO_MIN, taken / occupied))
    weight = min(1.0, taken / RATIO_FULL_KIB)
    fills = occupied / max(1.0, sample.t_ms - previous.t_ms) * 1000
    ratio = previous.ratio * (1 - weight) + fresh * weight
    return StoreRatio(ratio, store.orig_kib, store.used_kib, sample.t_ms, fills)


def forget_filling(previous: StoreRatio, sample: Sample) -> StoreRatio:
    """The measure from here on: a death may have ended what filled the store."""
    if sample.store is None:
        return previous
    return StoreRatio(previous.ratio, sample.store.orig_kib, sample.store.used_kib, sample.t_ms)


def store_fails_ms(measured: StoreRatio, room: Headroom) -> float | None:
    """Milliseconds until the kernel refuses pages and reclaims in vain, as the store fills now.

    0 when it is there already and the kernel reclaims; None where there is no such limit, or it is not coming nearer.
    """
    left = room.pool_left_kib
    if left is None:
        return None
    if left <= 0:
        return 0.0 if room.free_kib <= 0 else None
    return left / measured.fills_kib_s * 1000 if measured.fills_kib_s > 0 else None


def store_lasts_ms(measured: StoreRatio, room: Headroom, sample: Sample) -> float | None:
    """Milliseconds until the store is at its limit as it fills now; None without a limit or without filling.

    The limit is what the governor would raise it to.
    """
    store = sample.store
    if store is None or store.limit_kib <= 0 or measured.fills_kib_s <= 0:
        return None
    return max(0, store.limit_kib + room.rise_kib - store.used_kib) / measured.fills_kib_s * 1000


def store_ends_ms(measured: StoreRatio, room: Headroom, sample: Sample) -> tuple[float | None, float | None]:
    """``store_lasts_ms`` and ``store_fails_ms``."""
    return store_lasts_ms(measured, room, sample), store_fails_ms(measured, room)
