"""Kills that were asked for over the control socket: each waits its turn, and what is protected is not ended. Pure."""

from __future__ import annotations

from lmkd.model import PRIORITY_NEVER, Note, Victim
from lmkd.policy.victim import Choice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.model import CandidateTable

WAITING_MAX = 8
REASON = "it was asked for"

Identities = tuple[tuple[int, int], ...]


def take(
    waiting: Identities, table: CandidateTable, ended: Identities, busy: bool
) -> tuple[Identities, Choice | Note | None]:
    """(those that still wait, the one whose turn it is as a choice, or as a note why it is not ended).

    ``ended`` are victims of recent decisions; ``busy``: another one is in flight.
    """
    waiting = tuple(dict.fromkeys(waiting))[:WAITING_MAX]
    if busy or not waiting:
        return waiting, None
    (pid, start), rest = waiting[0], waiting[1:]
    index = table.index_of(pid)
    row = table.row(index) if index is not None else None
    if row is None or row.start_ticks != start or (pid, start) in ended:
        return rest, _refusal(pid, None, "what was asked to be ended is no candidate any more")
    if row.priority <= PRIORITY_NEVER:
        return rest, _refusal(pid, row.name, "what was asked to be ended is protected")
    victim = Victim(pid, start, row.name, row.priority, row.rule, row.gain_kib)
    return rest, Choice((victim,), REASON, (), row.grace_ms)


def _refusal(pid: int, name: str | None, reason: str) -> Note:
    return Note("refusal", (("pid", pid), ("name", name), ("reason", reason)), "warning")
