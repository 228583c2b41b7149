"""What the configuration wants run after a kill: by rule, else by class, with the kill's record in the environment."""

from __future__ import annotations

from lmkd.guard.commands import DRAIN_LOG, HOOK, KILLED
from lmkd.helper.record_text import members, variables
from lmkd.model import class_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.guard.exchange import Exchange
    from lmkd.helper.hooks import Hooks
    from lmkd.plan import Plan

RECENT_BYTES = 16384
"""So far back a record is looked for: the guard writes it just after the signal."""
NO_RULE = -1
KILL = b'{"event":"kill",'
WAITING_MAX = 64


class AfterKill:
    """Owns those who were killed and whose record is still to come: the guard signals first and writes then."""

    def __init__(self, plan: Plan, exchange: Exchange, hooks: Hooks) -> None:
        self._plan = plan
        self._exchange = exchange
        self._hooks = hooks
        self._by_class = dict(plan.ways.on_kill)
        self._waiting: dict[int, int] = {}
        """Process id and index of its rule."""

    def take(self, commands: Iterable[tuple[int, int, int]]) -> None:
        """Of all that the guard asked for, what concerns kills; the records are there when the log is to be written."""
        for operation, pid, argument in commands:
            if operation == HOOK:
                self._waiting[pid] = argument
            elif operation == KILLED and self._by_class:
                self._waiting.setdefault(pid, NO_RULE)
            if self._waiting and (operation == DRAIN_LOG or len(self._waiting) > WAITING_MAX):
                waiting, self._waiting = self._waiting, {}
                records = self._records()
                for killed, index in waiting.items():
                    self._start(killed, index, records.get(str(killed), {}))

    def _start(self, pid: int, index: int, record: dict[str, str]) -> None:
        """A command may be older than the rules: it waited for a helper while they were replaced."""
        rules, where = self._plan.rules, record.get("LMKD_RULE")
        rule = rules[index] if 0 <= index < len(rules) else next((one for one in rules if one.where == where), None)
        priority = record.get("LMKD_PRIORITY", "")
        name = class_of(int(priority)) if priority.lstrip("-").isdigit() else ""
        program = (rule.on_kill if rule is not None else "") or self._by_class.get(name, "")
        if not program:
            return
        record.pop("LMKD_LEVEL", None)  # the record's own: to who is told of levels it means the pressure
        told = {**record, "LMKD_EVENT": "kill", "LMKD_PID": str(pid), "LMKD_CLASS": name}
        told["LMKD_RULE"] = rule.name if rule is not None else ""
        told["LMKD_RULE_AT"] = rule.where if rule is not None else ""
        self._hooks.run(program, pid, told, limit_ms=self._plan.ways.on_kill_ms)

    def _records(self) -> dict[str, dict[str, str]]:
        """The variables of the last kills by process id, the latest of each."""
        head = self._exchange.records_since(1 << 62)[1]
        lines = self._exchange.records_since(max(0, head - RECENT_BYTES))[0]
        records = (variables(members(line)) for line in lines if line.startswith(KILL))
        return {record.get("LMKD_PID", ""): record for record in records}
