"""The store's RAM budget follows need: raised before writes would fail where that pays, lowered when it has emptied.

A page stored at ratio r takes 1/r of itself and gives back 1 - 1/r. At r near 1 a higher limit buys nothing but work,
so how far the limit may go follows from the marginal ratio: between ``store.mem_limit`` and ``store.mem_limit_max``.
"""

from __future__ import annotations

from lmkd.model import Limit, Note, Sample, Settings, StoreSample
from lmkd.values import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.policy.headroom import StoreRatio

GAIN_MIN, GAIN_FULL = 0.2, 0.5
"""Share of a page that storing it gives back: below the first nothing is raised, from the second on (a ratio of 2) to
the maximum."""
MARGIN_PCT = 8
"""Room below the limit that is kept, in percent of RAM: what goes in between two looks at the fastest."""
LEAD_MS = 300.0
STEP_PCT = 2
WHOLE_KIB = 64
"""Limits are whole pages, whatever size these have: the kernel rounds up, and what is read back is to be what was set.
"""
RAISE_EVERY_MS, LOWER_EVERY_MS, AGAIN_MAX_MS = 20.0, 5000.0, 60_000.0
HUGE_STEP_KIB = 4096
HUGE_PCT, HUGE_OVER_PCT = 50, 25
"""From the first on most of what goes in does not compress; below the second that is over. Said, not acted on: the
marginal ratio of such pages is near 1 already, and the headroom goes by that as well."""


@value
class Governor:
    """When the limit was last asked for and what; what share of the last pages that went in did not compress."""

    asked_ms: float = -1e9
    asked_kib: int = 0
    again_ms: float = RAISE_EVERY_MS
    orig_kib: int = -1
    huge_kib: int = 0
    huge_pct: int = 0
    told: bool = False


def whole_kib(kib: int) -> int:
    """Rounded up to whole pages."""
    return -(-kib // WHOLE_KIB) * WHOLE_KIB


def reach_kib(store: StoreSample, settings: Settings, ratio: float) -> int:
    """How far the limit of lmkd's own device may go at this marginal ratio; never below where it is, 0 without one."""
    limit, normal = store.own_limit_kib, whole_kib(settings.store_limit_kib)
    if limit <= 0 or settings.store_limit_max_kib <= normal:
        return limit
    gain = 1 - 1 / max(1.0, ratio)
    share = min(1.0, max(0.0, (gain - GAIN_MIN) / (GAIN_FULL - GAIN_MIN)))
    return max(limit, whole_kib(normal + int((settings.store_limit_max_kib - normal) * share)))


def may_rise_kib(store: StoreSample, settings: Settings, ratio: float) -> int:
    """What the governor would still add to the present limit."""
    return reach_kib(store, settings, ratio) - store.own_limit_kib


def margin_kib(settings: Settings) -> int:
    """The room that is kept below the limit."""
    return settings.ram_kib * MARGIN_PCT // 100


def govern(
    governor: Governor, sample: Sample, settings: Settings, measured: StoreRatio, ratio: float, level: str
) -> tuple[Governor, tuple[Limit | Note, ...]]:
    """The limit to set now, if any, and a note when the store begins to be filled with what does not compress.

    ``ratio`` is the lower of the marginal ratio and that of what grows. The limit is read from the sample, so one that
    could not be set is asked for again, less and less often.
    """
    store = sample.store
    if store is None or store.own_limit_kib <= 0:
        return governor, ()
    governor, notes = _watch_huge(governor, store, ratio)
    wanted = _wanted_kib(store, settings, measured, ratio, level)
    if wanted == store.own_limit_kib:
        return governor, notes
    refused = governor.asked_kib == wanted
    again = min(AGAIN_MAX_MS, 2 * governor.again_ms) if refused else RAISE_EVERY_MS
    pause = governor.again_ms if refused else RAISE_EVERY_MS
    if wanted < store.own_limit_kib:
        pause = max(pause, LOWER_EVERY_MS)
    if sample.t_ms - governor.asked_ms < pause:
        return governor, notes
    numbers = (
        ("from_kib", store.own_limit_kib),
        ("to_kib", wanted),
        ("used_kib", store.own_used_kib),
        ("ratio", round(ratio, 2)),
        ("fills_kib_s", round(measured.fills_kib_s)),
    )
    return replace(governor, asked_ms=sample.t_ms, asked_kib=wanted, again_ms=again), (*notes, Limit(wanted, numbers))


def _wanted_kib(store: StoreSample, settings: Settings, measured: StoreRatio, ratio: float, level: str) -> int:
    limit, used, normal = store.own_limit_kib, store.own_used_kib, whole_kib(settings.store_limit_kib)
    margin, step = margin_kib(settings), settings.ram_kib * STEP_PCT // 100
    ahead = max(margin, int(measured.fills_kib_s * LEAD_MS / 1000))
    if limit - used < ahead:
        wanted = min(reach_kib(store, settings, ratio), whole_kib(used + 2 * ahead))
        return wanted if wanted - limit >= step else limit
    if level != "calm" or limit <= normal:
        return limit
    wanted = max(normal, whole_kib(used + 2 * ahead))
    emptied = wanted == normal
    return wanted if wanted < limit and (emptied or limit - wanted >= margin) else limit


def _watch_huge(governor: Governor, store: StoreSample, ratio: float) -> tuple[Governor, tuple[Note, ...]]:
    """The share of what went in lately that the kernel keeps uncompressed (mm_stat's huge_pages)."""
    if store.huge_kib is None:
        return governor, ()
    taken = store.orig_kib - governor.orig_kib
    if governor.orig_kib < 0 or taken < 0:
        return replace(governor, orig_kib=store.orig_kib, huge_kib=store.huge_kib), ()
    if taken < HUGE_STEP_KIB:
        return governor, ()
    pct = min(100, max(0, store.huge_kib - governor.huge_kib) * 100 // taken)
    told = pct >= HUGE_PCT or (governor.told and pct >= HUGE_OVER_PCT)
    seen = replace(governor, orig_kib=store.orig_kib, huge_kib=store.huge_kib, huge_pct=pct, told=told)
    if told == governor.told:
        return seen, ()
    numbers = (
        ("most", told), ("huge_pct", pct), ("taken_kib", taken), ("huge_kib", store.huge_kib),
        ("orig_kib", store.orig_kib), ("used_kib", store.used_kib), ("ratio", round(ratio, 2)),
    )  # fmt: skip
    return seen, (Note("incompressible", numbers),)
