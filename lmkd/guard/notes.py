"""The words of the guard's records: what a kill says of itself, and why the pressure level changed."""

from __future__ import annotations

from lmkd.model import Note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.model import Kill, Victim
    from lmkd.plan import Plan


def kill_note(kill: Kill, victim: Victim, plan: Plan, decide_us: float) -> Note:
    """The record of one victim; ``decide_us`` is the time from the wake-up to the signal."""
    rule = plan.rules[victim.rule].where if 0 <= victim.rule < len(plan.rules) else "own oom_score_adj"
    fields = (
        ("pid", victim.pid),
        ("name", victim.name),
        ("priority", victim.priority),
        ("rule", rule),
        ("signal", kill.signal),
        ("reason", kill.reason),
        ("predicted_kib", victim.predicted_kib),
        *kill.numbers,
        ("decide_us", round(decide_us)),
        ("dry_run", plan.dry_run),
    )
    return Note("kill", fields, "warning")


def reason_of(actions: Iterable[object]) -> str:
    """Why the level is what it is, as the step's own record of it says."""
    for action in actions:
        if isinstance(action, Note) and action.event == "pressure":
            return str(dict(action.fields).get("reason", ""))
    return ""
