"""Respawn hold-down: who comes back after lmkd ended it waits, each time twice as long. Pure bookkeeping.

Times are milliseconds since boot, as the start time of a process is. A *round* begins with the death of one that was
born after the last death counted: victims of one decision, or brothers that were there before, make one round only.
"""

from __future__ import annotations

from lmkd.values import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    Identity = tuple[str, int, int]
    """comm, uid, hash of the command line."""

FORGET_MS = 60_000.0
"""One that has run for so long, or stayed away for so long, begins anew."""
SUSPECTS_MAX = 32
BORN_SLACK_MS = 10.0
"""A start time is told in clock ticks, rounded down."""
DOUBLINGS_MAX = 30


@value
class Suspect:
    """An identity that was ended: how often it came back for that, when last, and until when it is held now."""

    identity: Identity
    round: int
    killed_ms: float
    until_ms: float | None = None
    """None: nothing of it has come back in this round yet."""


def pause_ms(number: int, base_ms: float, max_ms: float) -> float:
    """How long round ``number`` (from 1) is held."""
    return min(max_ms, base_ms * (1 << min(number - 1, DOUBLINGS_MAX)))


def forget(suspects: tuple[Suspect, ...], t_ms: float) -> tuple[Suspect, ...]:
    """Those that still count: ended, or let go, less than ``FORGET_MS`` ago."""
    return tuple(one for one in suspects if t_ms - _last_ms(one) <= FORGET_MS)


def ended(
    suspects: tuple[Suspect, ...], identity: Identity, born_ms: float, killed_ms: float
) -> tuple[Suspect, ...]:
    """The suspects after this identity was ended; of too many the one that was quiet for longest is dropped."""
    kept = forget(suspects, killed_ms)
    killed_ms = max(killed_ms, born_ms + BORN_SLACK_MS)  # else a young one that is still dying would have come back
    known = next((one for one in kept if one.identity == identity), None)
    if known is None:
        fresh = Suspect(identity, 1, killed_ms)
    elif born_ms + BORN_SLACK_MS <= known.killed_ms:
        fresh = replace(known, killed_ms=max(known.killed_ms, killed_ms))
    else:
        fresh = Suspect(identity, known.round + 1, killed_ms)
    others = sorted((one for one in kept if one is not known), key=_last_ms)
    return (*others[-(SUSPECTS_MAX - 1) :], fresh)


def meet(
    suspects: tuple[Suspect, ...], identity: Identity, born_ms: float, t_ms: float, base_ms: float, max_ms: float
) -> tuple[tuple[Suspect, ...], Suspect | None]:
    """A process of this identity is seen: the suspect with ``until_ms`` set if it has to wait so long, else None.

    The first to come back is held for the round's pause, and all that come meanwhile as long as it is; who comes when
    that is over runs. What was born before the death did not come back, it was there.
    """
    kept = forget(suspects, t_ms)
    known = next((one for one in kept if one.identity == identity), None)
    if known is None or not _waits(known, born_ms, t_ms):
        return kept, None
    if known.until_ms is not None:
        return kept, known
    held = replace(known, until_ms=t_ms + pause_ms(known.round, base_ms, max_ms))
    return tuple(held if one is known else one for one in kept), held


def may_be(suspects: tuple[Suspect, ...], comm: str, born_ms: float, t_ms: float) -> bool:
    """Could a process of this name have to wait? Then its whole identity is worth a look."""
    return any(one.identity[0] == comm and _waits(one, born_ms, t_ms) for one in suspects)


def _waits(suspect: Suspect, born_ms: float, t_ms: float) -> bool:
    came_back = born_ms + BORN_SLACK_MS > suspect.killed_ms
    return came_back and (suspect.until_ms is None or t_ms < suspect.until_ms)


def _last_ms(suspect: Suspect) -> float:
    return suspect.killed_ms if suspect.until_ms is None else max(suspect.killed_ms, suspect.until_ms)
