"""What the guard asks of the helper: the words of the commands, and how an action of the policy becomes one."""

from __future__ import annotations

from lmkd.held import Clean, Explain, Tend
from lmkd.model import Compact, Freeze, Maintain, Refresh, Renice, Thaw, Trim

REFRESH, REFRESH_URGENT, REAP, EXPLAIN, DRAIN_LOG, HOOK, STOP, GROUP, TRIM, KILLED, FREEZE, THAW, COMPACT, RENICE = (
    range(1, 15)
)
TEND, CLEAN, MAINTAIN, NOTIFY = 15, 16, 17, 18
"""NOTIFY: the pressure level has changed to ``LEVELS[argument]``."""
RELOAD = 19
"""Go on by the plan in the guard's descriptor ``argument``."""
KILL_ASKED = "kill_asked"
"""The other way: the record by which the helper passes on a kill that was asked for (pid, start)."""
TEND_SHORT, TEND_LOOK = 1, 2
"""Of a TEND command's argument."""
GROUP_KILL = 1 << 32
"""Beside the rule's index in a GROUP command: SIGKILL is meant, not SIGTERM."""
START_BITS = 40
"""Of a FREEZE or RENICE command's argument: the start time, above it the milliseconds. Of KILLED: when."""


def command_of(
    action: Refresh | Trim | Compact | Freeze | Thaw | Renice | Maintain | Explain | Tend | Clean
) -> tuple[int, int, int]:
    """(operation, pid, argument) of an action that is the helper's."""
    if isinstance(action, Refresh):
        return (REFRESH_URGENT if action.urgent else REFRESH), 0, 0
    if isinstance(action, Trim):
        return TRIM, 0, action.kib
    if isinstance(action, Compact):
        return COMPACT, 0, action.slack_kib
    if isinstance(action, (Freeze, Renice)):
        operation = FREEZE if isinstance(action, Freeze) else RENICE
        return operation, action.pid, action.start_ticks | action.ms << START_BITS
    if isinstance(action, Thaw):
        return THAW, action.pid, 0
    if isinstance(action, Tend):
        return TEND, 0, TEND_SHORT * action.short | TEND_LOOK * action.look
    if isinstance(action, Clean):
        return CLEAN, 0, action.kib
    if isinstance(action, Maintain):
        return MAINTAIN, 0, int(action.on)
    return EXPLAIN, 0, action.shmem_kib
