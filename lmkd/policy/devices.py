"""Several zram devices in use as swap, as one store: what they hold together, and what they can still take."""

from __future__ import annotations

from lmkd.model import StoreSample
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CLOSES_AT = 2.5
"""At this ratio a device is thought to fill: one that reaches its limit before its slots are taken closes the rest."""


def combined(devices: Sequence[tuple[StoreSample, int]], own: int, own_max_kib: int) -> StoreSample | None:
    """The sum of (mm_stat, disksize in KiB) in the order of their swap priorities; None for none.

    The kernel fills the device of the highest priority until its slots are taken (mm/swapfile.c); at its mem_limit it
    still has slots, its writes fail, and what comes after it is never reached. So room counts up to the first device
    that will close so. ``own`` is the place of lmkd's own device (-1: none), whose limit may rise to ``own_max_kib``.
    """
    if not devices:
        return None
    if len(devices) == 1:
        return _alone(*devices[0], own == 0, own_max_kib)
    orig = compressed = used = left = free = huge = 0
    reachable = sized = True
    limited = False
    for place, (stat, size_kib) in enumerate(devices):
        orig, compressed, used = orig + stat.orig_kib, compressed + stat.compressed_kib, used + stat.used_kib
        huge += stat.huge_kib or 0
        limited, sized = limited or stat.limit_kib > 0, sized and size_kib > 0
        slots = max(0, size_kib - stat.orig_kib)
        if not reachable:
            continue
        free += slots
        room = max(0, stat.limit_kib - stat.used_kib) if stat.limit_kib > 0 else slots
        left += room
        highest = max(stat.limit_kib, own_max_kib) if place == own else stat.limit_kib
        reachable = stat.limit_kib <= 0 or (highest - stat.used_kib) * CLOSES_AT >= slots
    limit = used + left if limited else 0
    known = None if devices[0][0].huge_kib is None else huge
    whole = StoreSample(orig, compressed, used, limit, known, free if sized else None, not reachable)
    if not 0 <= own < len(devices):
        return whole
    return replace(whole, own_used_kib=devices[own][0].used_kib, own_limit_kib=devices[own][0].limit_kib)


def _alone(stat: StoreSample, size_kib: int, own: bool, own_max_kib: int) -> StoreSample:
    """The same for one device, which is the rule, at a fraction of the cost: every wake-up asks for it."""
    limit = stat.limit_kib
    slots = max(0, size_kib - stat.orig_kib)
    highest = max(limit, own_max_kib) if own else limit
    closes = limit > 0 and (highest - stat.used_kib) * CLOSES_AT < slots
    return StoreSample(
        stat.orig_kib, stat.compressed_kib, stat.used_kib, limit, stat.huge_kib,
        slots if size_kib > 0 else None, closes, stat.used_kib if own else 0, limit if own else 0,
    )  # fmt: skip
