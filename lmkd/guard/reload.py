"""The reload: a planner as a child makes the next plan while the guard goes on by the one that it has."""

from __future__ import annotations

import os

from lmkd.errors import LmkdError
from lmkd.plan import PLAN_BYTES_MAX, Plan, load_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Recording(Protocol):
        """Where it is recorded how a reload ended; the guard itself."""

        def note(self, event: str, fields: tuple[tuple[str, object], ...], level: str = "info") -> None:
            """Record it."""



class Reload:
    """A planner run as a child: a bad file changes nothing, a good one gives the plan to go on by."""

    def __init__(self) -> None:
        self.child = 0
        self.given = -1
        """The memfd of the last good plan: helper and talker read it there, by /proc."""
        self.asked_again = False
        """SIGHUP came while the planner was at work: it may have read the files as they were before."""
        self._output = -1

    def start(self, plan: Plan, guard: Recording) -> None:
        """Start the planner, or when one is at work remember to start it once more."""
        self.asked_again = bool(self.child)
        if self.child:
            return
        self._output = os.memfd_create("lmkd-plan", 0)
        program, *rest = plan.reload_argv
        arguments = [program, *rest, "run", "--plan-to", str(self._output)]
        for path in plan.config_paths:
            arguments += ["--config", path]
        if plan.dry_run:
            arguments.append("--dry-run")
        try:
            self.child = os.posix_spawn(program, arguments, os.environb)
        except OSError as error:
            guard.note("reload_failed", (("reason", f"{program}: {error.strerror}"),), "error")
            os.close(self._output)

    def finish(self, status: int, guard: Recording) -> Plan | None:
        """The new plan, or None after recording why there is none."""
        self.child = 0
        output, self._output = self._output, -1
        # Room for PLAN_BYTES_MAX would be locked in memory, for a moment; some of it for good.
        data = os.pread(output, min(PLAN_BYTES_MAX, os.fstat(output).st_size), 0)
        code = os.waitstatus_to_exitcode(status)
        try:
            if code != 0:
                raise LmkdError(data.decode("utf-8", "replace").strip()[:1500] or f"the planner ended with {code}")
            plan = load_plan(data)
        except LmkdError as error:
            os.close(output)
            guard.note("reload_failed", (("reason", str(error)),), "error")
            return None
        if self.given >= 0:
            os.close(self.given)
        os.set_inheritable(output, False)
        self.given = output
        guard.note("reload", (("rules", len(plan.rules)), ("files", plan.sources)))
        return plan
