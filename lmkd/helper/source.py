"""What a client may ask, answered from the shared memory. Lives in the talker only."""

from __future__ import annotations

import os

from lmkd.guard.exchange import Exchange
from lmkd.helper.cost import service_cost
from lmkd.helper.entry import HAS_PRIORITY
from lmkd.helper.registry import Registry, Slot
from lmkd.model import FLAG_DECLARED_FOREGROUND, FLAG_FREEZE, FLAG_TRIM, PRIORITY_NEVER, class_of
from lmkd.plain_json import loads
from lmkd.plan import Plan
from lmkd.values import as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

LAST_BYTES = 8192
"""More than the longest record: its end, and the begin of the next one."""
OWN_RULE = "own oom_score_adj"


class ExchangeSource:
    """Reads what the guard wrote: the status that it goes by, its records, and the candidates in kill order."""

    def __init__(self, plan: Plan, exchange: Exchange) -> None:
        self._plan = plan
        self._exchange = exchange
        self._next = (-1, 0)
        """The sequence number that was given out as the next one, and where in the ring it will stand."""

    def status(self) -> Mapping[str, Any]:
        """The guard's own status line, and what the service costs (a page walk: only when somebody asks)."""
        return {**self._guards_own(), "cost": service_cost(self._plan.proc)}

    def _guards_own(self) -> dict[str, Any]:
        for _ in range(100):
            line = self._exchange.read_status()
            if line:
                return dict(loads(line.decode()))
        raise ValueError("the guard has not written a status yet")

    def policy(self) -> list[dict[str, Any]]:
        """The numbers that the guard goes by now, how they follow, and where the configuration gives them."""
        from lmkd.policy.derive import explained

        plan = self._plan
        psi = {"psi_some_us": plan.some_us, "psi_full_us": plan.full_us, "psi_window_us": plan.window_us}
        settings = as_dict(plan.settings) | self._guards_own().get("settings", {})
        return explained(settings | psi | {"psi_step_us": plan.psi_step_us}, dict(plan.given))

    def tmpfs(self) -> dict[str, Any]:
        """Memory in files: the mounts, the largest files, who holds them. Looked at now, in this process."""
        from lmkd.helper.survey import survey

        table = self._exchange.table_copy()
        rows = [table.row(index) for index in range(len(table))]
        names = {row.pid: row.name for row in rows if row.pid != os.getpid()}
        store = self._guards_own().get("store") or {}
        orig_kib, used_kib = store.get("orig_kib") or 0, store.get("used_kib") or 0
        share = min(1.0, used_kib / orig_kib) if orig_kib else 1.0
        return survey(self._plan.proc, names, names, self._plan.tmpfs, share)

    def events_since(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        """Records from this sequence number on that the ring still holds."""
        lines, position = self._exchange.records_since(self._next[1] if sequence == self._next[0] else 0)
        events = [loads(line.decode()) for line in lines]
        fresh = [event for event in events if event["seq"] >= sequence]
        following = fresh[-1]["seq"] + 1 if fresh else sequence
        self._next = (following, position)
        return fresh, following

    def next_sequence(self) -> int:
        """The number that the next record will have."""
        head = self._exchange.records_since(1 << 62)[1]
        lines, position = self._exchange.records_since(max(0, head - LAST_BYTES))
        following = loads(lines[-1].decode())["seq"] + 1 if lines else 0
        self._next = (following, position)
        return int(following)

    def candidates(self) -> Iterable[Mapping[str, Any]]:
        """Rows of the table, as the next decision would see them, but for this process: it ends with its client."""
        table = self._exchange.table_copy()
        rows = (table.row(index) for index in range(len(table)))
        registry = Registry(self._exchange.slots)
        for order, row in enumerate((row for row in rows if row.pid != os.getpid()), start=1):
            rule = self._plan.rules[row.rule] if 0 <= row.rule < len(self._plan.rules) else None
            yield {
                "order": order,
                "pid": row.pid,
                "name": row.name,
                "priority": row.priority,
                "class": class_of(row.priority),
                "rule": OWN_RULE if rule is None else rule.where,
                "rule_name": None if rule is None else rule.name,
                "registered": _is_set(registry.find(row.pid, row.start_ticks)),
                "rule_match": [] if rule is None else rule.matchers,
                "resident_kib": row.resident_kib,
                "swapped_kib": row.swapped_kib,
                "gain_kib": row.gain_kib,
                "never": row.priority <= PRIORITY_NEVER,
                "declared": bool(row.flags & FLAG_DECLARED_FOREGROUND),
                "trim": bool(row.flags & FLAG_TRIM),
                "freeze": bool(row.flags & FLAG_FREEZE),
                "grace_ms": row.grace_ms,
                "group": "process" if rule is None else rule.group,
            }


def _is_set(slot: Slot | None) -> bool:
    """Was its priority set over the socket?"""
    return slot is not None and bool(slot.flags & HAS_PRIORITY)
