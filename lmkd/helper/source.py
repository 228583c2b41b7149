"""What a client may ask, answered from the shared memory. Lives in the desk's children only, so it may import json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lmkd.guard.exchange import Exchange
from lmkd.helper.cost import service_cost
from lmkd.model import class_of
from lmkd.plan import Plan

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
        for _ in range(100):
            line = self._exchange.read_status()
            if line:
                return {**json.loads(line), "cost": service_cost(self._plan.proc)}
        raise ValueError("the guard has not written a status yet")

    def events_since(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        """Records from this sequence number on that the ring still holds."""
        lines, position = self._exchange.records_since(self._next[1] if sequence == self._next[0] else 0)
        events = [json.loads(line) for line in lines]
        fresh = [event for event in events if event["seq"] >= sequence]
        following = fresh[-1]["seq"] + 1 if fresh else sequence
        self._next = (following, position)
        return fresh, following

    def candidates(self) -> Iterable[Mapping[str, Any]]:
        """Rows of the table, as the next decision would see them."""
        table = self._exchange.table_copy()
        for index in range(len(table)):
            row = table.row(index)
            known = 0 <= row.rule < len(self._plan.rules)
            yield {
                "order": index + 1,
                "pid": row.pid,
                "name": row.name,
                "priority": row.priority,
                "class": class_of(row.priority),
                "rule": self._plan.rules[row.rule].where if known else OWN_RULE,
                "resident_kib": row.resident_kib,
                "swapped_kib": row.swapped_kib,
                "gain_kib": row.gain_kib,
                "never": row.priority <= -1000,
            }
