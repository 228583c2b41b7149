"""Upkeep of the store, decided: its limit, when to compact it, and when there is time to write back and recompress."""

from __future__ import annotations

from lmkd.model import Compact, Limit, Maintain, Note, Sample, Settings
from lmkd.policy.governor import Governor, govern
from lmkd.values import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.policy.headroom import StoreRatio

COMPACT_MIN_KIB = 1024
SLACK_PCT = 20
"""In calm, where no death asks for it, the store is compacted when it takes so much more than the bytes it holds."""
CALM_MS = 2000.0
COMPACT_EVERY_MS = 60_000.0


@value
class Upkeep:
    """What the upkeep remembers. ``tended_ms`` is when the helper was last told to write back; ``tending``: it may."""

    governor: Governor = Governor()
    calm_ms: float = -1.0
    compacted_ms: float = -1e9
    tended_ms: float = -1e9
    tending: bool = False


def slack_kib(sample: Sample) -> int:
    """What the store takes above the bytes it holds: holes, and its own bookkeeping."""
    return 0 if sample.store is None else sample.store.used_kib - sample.store.compressed_kib


def keep_up(
    upkeep: Upkeep,
    sample: Sample,
    settings: Settings,
    measured: StoreRatio,
    grower_ratio: float | None,
    level: str,
    landed: bool,
) -> tuple[Upkeep, tuple[Limit | Compact | Maintain | Note, ...]]:
    """What to do for the store now. ``landed``: a kill was just accounted for, so its pages have left holes."""
    ratio = measured.ratio if grower_ratio is None else min(measured.ratio, grower_ratio)
    governor, actions = govern(upkeep.governor, sample, settings, measured, ratio, level)
    since = upkeep.calm_ms if upkeep.calm_ms >= 0 else sample.t_ms
    upkeep = replace(upkeep, governor=governor, calm_ms=since if level == "calm" else -1.0)
    calm = level == "calm" and sample.t_ms - since >= CALM_MS
    upkeep, compacts = _compact(upkeep, sample, calm, landed)
    upkeep, tends = _tend(upkeep, sample, settings, calm)
    return upkeep, (*actions, *compacts, *tends)


def _compact(upkeep: Upkeep, sample: Sample, calm: bool, landed: bool) -> tuple[Upkeep, tuple[Compact, ...]]:
    slack = slack_kib(sample)
    if sample.store is None or slack < COMPACT_MIN_KIB:
        return upkeep, ()
    due = calm and sample.t_ms - upkeep.compacted_ms >= COMPACT_EVERY_MS
    if not landed and not (due and slack * 100 >= sample.store.used_kib * SLACK_PCT):
        return upkeep, ()
    return replace(upkeep, compacted_ms=sample.t_ms), (Compact(slack),)


def _tend(upkeep: Upkeep, sample: Sample, settings: Settings, calm: bool) -> tuple[Upkeep, tuple[Maintain, ...]]:
    """Told to begin in calm, every ``tend_ms`` at most; to stop as soon as it is calm no more."""
    if not settings.tend_ms:
        return upkeep, ()
    if not calm:
        return replace(upkeep, tending=False), (Maintain(False),) if upkeep.tending else ()
    if sample.t_ms - upkeep.tended_ms < settings.tend_ms:
        return upkeep, ()
    return replace(upkeep, tended_ms=sample.t_ms, tending=True), (Maintain(True),)
