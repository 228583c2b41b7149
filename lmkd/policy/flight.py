"""The one kill in flight: from the signal until its memory is accounted for."""

from __future__ import annotations

from lmkd.model import Escalate, Note, Reap, Sample, Victim
from lmkd.values import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.model import Action

RETURNED_ENOUGH = 0.9
RETURNED_MIN_KIB = 1024
"""Less than this comes and goes by itself: only the death tells that such a victim has landed."""
REAP_AFTER_MS = 20.0
"""A victim that was sent SIGKILL and did not free its memory in this time is reaped by the helper."""
REAP_HERE_MS = 40.0
REAP_HERE_SHARE = 0.1
"""When even the helper gets nowhere (both wait for a page while reclaim turns in vain), the guard reaps by itself."""
SETTLE_MS = 60.0
SETTLE_MS_PER_MIB = 1.5
"""A reported death whose memory is not back yet is waited for so much longer: somebody else still holds it (who reads
the process's files in /proc does for that moment), and then frees it in its own time."""
SETTLED_SHARE = 0.5
STUCK_AFTER_MS = 1000.0
"""A victim that has not died so long after SIGKILL (uninterruptible sleep) no longer holds up the rescue."""
PROGRESS_KIB = 1024
PROGRESS_MS = 250.0
"""A victim that keeps giving back at least so much in so long is not stuck, only slow: another death would not help."""


@value
class Flight:
    """Who was signalled, when, what should come back, and what has come back so far."""

    victims: tuple[Victim, ...]
    signal: str
    started_ms: float
    deadline_ms: float
    predicted_kib: int
    before_kib: int
    killed_ms: float = 0.0
    """When SIGKILL was sent; before that, when SIGTERM was."""
    returned_kib: int = 0
    gone: tuple[int, ...] = ()
    gone_ms: float = -1.0
    """When the last victim's death was reported; negative before that."""
    reaped: bool = False
    reaped_here: bool = False
    counted_kib: int = 0
    """What had come back when the deadline was last put off."""
    seen_ms: float = -1.0
    half_ms: float = -1.0
    """How long it took until half of the prediction was back; negative before that."""
    teaches: bool = True
    """Its receipt says how true predictions are."""
    drained_kib: float = 0.0
    """What others consumed until ``seen_ms``, each stretch at the rate of its time: a late burst is not the past."""


@value
class Landing:
    """How a flight ended: ``dead``, ``returned`` (the memory is back, the exit is not) or ``stuck``."""

    outcome: str
    ms: float
    returned_kib: int
    predicted_kib: int
    half_ms: float
    """From the signal until half of the prediction was back, which is the time a kill takes to help."""


def free_for_receipt_kib(sample: Sample) -> int:
    """What a death gives back shows here: free pages and the cache beside them, the store's own pages included."""
    return sample.free_kib + sample.file_kib


def advance(
    flight: Flight, sample: Sample, rate_kib_s: float, urgent: bool
) -> tuple[Flight, Landing | None, tuple[Action, ...]]:
    """The flight after this sample, its end if it has ended, and what must be done about it meanwhile."""
    elapsed = sample.t_ms - flight.started_ms
    flight = _counted(flight, sample, rate_kib_s)
    returned, gone = flight.returned_kib, flight.gone
    alive = tuple(victim for victim in flight.victims if victim.pid not in gone)
    if not alive:
        gone_ms = flight.gone_ms if flight.gone_ms >= 0 else sample.t_ms
        settle_ms = SETTLE_MS + SETTLE_MS_PER_MIB * flight.predicted_kib / 1024
        waiting = returned < SETTLED_SHARE * flight.predicted_kib and sample.t_ms - gone_ms < settle_ms
        flight = replace(flight, gone_ms=gone_ms)
        return flight, None if waiting and not urgent else _land(flight, "dead", elapsed), ()
    if flight.signal == "SIGKILL" and returned >= RETURNED_ENOUGH * flight.predicted_kib >= RETURNED_MIN_KIB:
        return flight, _land(flight, "returned", elapsed), ()
    if flight.signal == "SIGTERM":
        if urgent or sample.t_ms >= flight.deadline_ms:
            reason = "forecast leaves no time for the grace" if urgent else "ignored SIGTERM for its whole grace"
            deadline = sample.t_ms + STUCK_AFTER_MS
            return (
                replace(flight, signal="SIGKILL", killed_ms=sample.t_ms, deadline_ms=deadline),
                None,
                (Escalate(alive, reason),),
            )
        return flight, None, ()
    if sample.t_ms >= flight.deadline_ms:
        if returned < flight.counted_kib + PROGRESS_KIB:
            return flight, _land(flight, "stuck", elapsed), ()
        flight = replace(flight, counted_kib=returned, deadline_ms=sample.t_ms + PROGRESS_MS)
    if not flight.reaped and sample.t_ms >= flight.killed_ms + REAP_AFTER_MS:
        return replace(flight, reaped=True), None, tuple(Reap(victim.pid) for victim in alive)
    late = sample.t_ms >= flight.killed_ms + REAP_HERE_MS and returned < REAP_HERE_SHARE * flight.predicted_kib
    if late and not flight.reaped_here:
        return replace(flight, reaped_here=True), None, tuple(Reap(victim.pid, here=True) for victim in alive)
    return flight, None, ()


def _counted(flight: Flight, sample: Sample, rate_kib_s: float) -> Flight:
    """The flight with what has come back by now, what others consumed meanwhile added, and who has died."""
    since_ms = flight.seen_ms if flight.seen_ms >= 0 else flight.started_ms
    drained = flight.drained_kib + rate_kib_s * (sample.t_ms - since_ms) / 1000
    returned = max(flight.returned_kib, int(free_for_receipt_kib(sample) - flight.before_kib + drained))
    half_ms = flight.half_ms
    if half_ms < 0 and 2 * returned >= flight.predicted_kib:
        half_ms = sample.t_ms - flight.killed_ms
    return replace(
        flight,
        returned_kib=returned,
        gone=flight.gone + tuple(pid for pid in sample.gone if pid not in flight.gone),
        seen_ms=sample.t_ms,
        drained_kib=drained,
        half_ms=half_ms,
    )


def receipt(flight: Flight, landing: Landing) -> Note:
    """The record that compares what was predicted with what came back."""
    first = flight.victims[0]
    fields: list[tuple[str, object]] = [("pid", first.pid), ("name", first.name)]
    if len(flight.victims) > 1:
        fields.append(("victims", len(flight.victims)))
    fields += [
        ("predicted_kib", landing.predicted_kib),
        ("returned_kib", landing.returned_kib),
        ("ms", round(landing.ms, 1)),
        ("half_ms", round(landing.half_ms, 1)),
        ("outcome", landing.outcome),
    ]
    return Note("receipt", tuple(fields), "warning" if landing.outcome == "stuck" else "info")


def _land(flight: Flight, outcome: str, ms: float) -> Landing:
    half_ms = flight.half_ms if flight.half_ms >= 0 else ms
    return Landing(outcome, ms, max(0, flight.returned_kib), flight.predicted_kib, half_ms)
