"""The resident processes: what the planner execs. Takes the plan, forks the helper, becomes the guard."""

from __future__ import annotations

import os
import sys

from lmkd.guard.exchange import Exchange
from lmkd.plan import PLAN_BYTES_MAX, load_plan
from lmkd.resident.fork import fork_helper, write_file


def main(plan_descriptor: int) -> None:
    """Become the guard by the plan in this descriptor; leaves through SystemExit."""
    data = os.pread(plan_descriptor, PLAN_BYTES_MAX, 0)
    os.close(plan_descriptor)
    plan = load_plan(data)
    for descriptor in (plan.notify_fd, plan.ready_fd, plan.lock_fd):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)  # for programs that the helper starts
    write_file(f"{plan.proc}/self/oom_score_adj", b"-1000")
    exchange = Exchange()
    helper = fork_helper(plan, exchange)
    # Only now: the helper needs none of it, and what it has loaded it keeps.
    from lmkd.resident.service import Resident

    sys.exit(Resident(plan, exchange, helper).run())
