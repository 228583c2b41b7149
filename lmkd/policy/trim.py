"""Trimming: idle applications go into the store before memory is short, so that nobody has to wait for reclaim."""

from __future__ import annotations

from lmkd.model import FLAG_TRIM, Candidate, Sample, Settings
from lmkd.policy.headroom import Headroom
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ASK_EVERY_MS = 200.0
ARM_FACTOR = 2
"""From so many times the wanted free memory on, the helper watches who is idle: it takes a while to know."""
WORTH_KIB = 1024
"""An application with less than this in memory is not worth the walk through its page tables."""
RATIO_PAYS = 1.4
"""Below this ratio storing a page returns less than 30 % of it for the same work."""
STORE_RESERVE_PCT = 10
"""What trimming leaves of the store's limit: the kernel's own reclaim needs room when something grows."""
REST_MS, REST_MAX_MS = 10_000.0, 600_000.0
WOKE_SHARE = 0.25


@value
class Rest:
    """An application that was trimmed: until when it is left alone, and what tells that it woke meanwhile."""

    start_ticks: int
    swapped_kib: int
    until_ms: float
    rest_ms: float = REST_MS


def short_kib(settings: Settings, sample: Sample, room: Headroom) -> int | None:
    """KiB that trimming should free now; 0: nothing yet, but who is idle should be known; None: far from it."""
    if not settings.trim or sample.swap_total_kib <= 0:
        return None
    ready = max(0, room.free_kib) + room.cache_kib
    if ready >= ARM_FACTOR * settings.trim_free_kib:
        return None
    limit = sample.store.limit_kib if sample.store is not None else 0
    if room.store_left_kib * 100 <= limit * STORE_RESERVE_PCT or room.store_kib <= 0:
        return None
    return max(0, settings.trim_free_kib - ready)


def pick(
    rows: Iterable[Candidate],
    idle_since_ms: Mapping[int, float],
    rests: Mapping[int, Rest],
    t_ms: float,
    idle_ms: float,
) -> Candidate | None:
    """The next to trim: allowed, idle for ``idle_ms``, not resting; the least important, then the largest."""
    best = None
    for row in rows:
        if not row.flags & FLAG_TRIM or row.resident_kib < WORTH_KIB:
            continue
        since = idle_since_ms.get(row.pid)
        if since is None or t_ms - since < idle_ms or is_resting(rests.get(row.pid), row, t_ms):
            continue
        if best is None or (row.priority, row.resident_kib) > (best.priority, best.resident_kib):
            best = row
    return best


def is_resting(rest: Rest | None, row: Candidate, t_ms: float) -> bool:
    """Was it trimmed, or found not to compress, so lately that it is left alone?"""
    return rest is not None and rest.start_ticks == row.start_ticks and t_ms < rest.until_ms


def rest_after(previous: Rest | None, row: Candidate, swapped_kib: int, t_ms: float) -> Rest:
    """The rest of one that was trimmed just now to ``swapped_kib``: longer each time that it took its pages back."""
    rest_ms = REST_MS
    if previous is not None and previous.start_ticks == row.start_ticks:
        woke = row.swapped_kib < previous.swapped_kib * (1 - WOKE_SHARE)
        rest_ms = min(REST_MAX_MS, 2 * previous.rest_ms) if woke else previous.rest_ms
    return Rest(row.start_ticks, swapped_kib, t_ms + rest_ms, rest_ms)
