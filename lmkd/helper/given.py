"""The plan that a reload has made: whoever is to go on by it reads it in the guard's own descriptor."""

from __future__ import annotations

import os

from lmkd.plan import Plan, load_plan


def read_given(proc: str, guard_pid: int, descriptor: int) -> Plan:
    """The plan. OSError or LmkdError when it cannot be read, such as when the next one has come meanwhile."""
    opened = os.open(f"{proc}/{guard_pid}/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return load_plan(os.pread(opened, os.fstat(opened).st_size, 0))
    finally:
        os.close(opened)
