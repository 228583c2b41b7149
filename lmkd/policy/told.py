"""What is told of the pressure: the level, which falls later than it is judged lower, and the numbers of records."""

from __future__ import annotations

from lmkd.model import Note, Sample
from lmkd.policy.forecast import NEVER_MS
from lmkd.policy.headroom import Headroom
from lmkd.policy.pressure import LEVELS, Pressure, Stall
from lmkd.policy.wake import AFTER_MIN_MS
from lmkd.values import value

EASED_MS = 2000.0
"""Less than moderate is told when it has been less for so long: who gives memory back on notice would take it again at
once. On the board an application refilled 24 of its 40 MB within 0.5 s, and was told a second time."""
EASED = "less than before"
"""The reason of a level that is told on the way down to a lower one."""


@value
class Judged:
    """The level as it was judged last, beside the one that is told, and since when it is lower than that."""

    level: str = "calm"
    below_ms: float = 0.0


def tell(told: str, before: Judged, level: str, t_ms: float) -> tuple[str, Judged]:
    """The level to tell: higher and moderate after critical at once, the rest of the way down when it has lasted."""
    if before.level == level == told:
        return level, before
    below_ms = t_ms if before.level == told else before.below_ms
    eased = t_ms - below_ms >= EASED_MS or (told, level) == ("critical", "moderate")
    if not eased and LEVELS.index(level) < LEVELS.index(told):
        return "moderate" if told == "critical" else told, Judged(level, below_ms)
    return level, Judged(level, t_ms)


def tell_again_ms(told: str, judged: Judged, t_ms: float) -> float:
    """How long until a lower level may be told; ``NEVER_MS`` when none is waiting."""
    return NEVER_MS if judged.level == told else max(AFTER_MIN_MS, judged.below_ms + EASED_MS - t_ms)


def pressure_notes(
    previous: str, level: str, pressure: Pressure, room: Headroom, rate_kib_s: float, sample: Sample
) -> tuple[Note, ...]:
    """The record of a change of the level that is told, if it is one."""
    if level == previous:
        return ()
    fields: tuple[tuple[str, object], ...] = (
        ("pressure", level),
        *_room(room),
        ("rate_kib_s", round(rate_kib_s)),
        ("cause", sample.cause),
        ("reason", pressure.why if level == pressure.level else EASED),
    )
    return (Note("pressure", fields, "warning" if level == "critical" else "info"),)


def kill_numbers(
    pressure: Pressure, room: Headroom, stall: Stall, rate_kib_s: float, sample: Sample
) -> tuple[tuple[str, object], ...]:
    """What a kill was decided by, for its record."""
    return (
        ("trigger", pressure.reason),
        ("cause", sample.cause),
        *_room(room),
        ("deficit_kib", pressure.deficit_kib),
        ("rate_kib_s", round(rate_kib_s)),
        ("exhaustion_ms", round(pressure.exhaustion_ms)),
        ("stall_full_pct", round(stall.full_pct, 1)),
        ("refaults_s", round(stall.refaults_s)),
    )


def _room(room: Headroom) -> tuple[tuple[str, object], ...]:
    return (
        ("headroom_kib", room.total_kib),
        ("free_kib", room.free_kib),
        ("cache_kib", room.cache_kib),
        ("store_kib", room.store_kib),
    )
