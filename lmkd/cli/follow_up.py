"""What came of an order: the records that lmkd wrote after it was given."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from lmkd.control.client import ControlClient

Record = Mapping[str, Any]
POLL_S = 0.05


class FollowUp:
    """The records from now on. Made before the order is given, so that none is missed."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client
        self._since = 0
        self.fresh()

    def fresh(self) -> list[dict[str, Any]]:
        """Those that are new since the last call."""
        records = list(self._client.events(self._since))
        numbers = [record["seq"] for record in records if type(record.get("seq")) is int]
        self._since = max([self._since, *(number + 1 for number in numbers)])
        return records

    def first(self, is_it: Callable[[Record], bool], wait_s: float) -> Record | None:
        """The first that is wanted; None when none came in this time."""
        deadline_s = time.monotonic() + wait_s
        while True:
            found = next((record for record in self.fresh() if is_it(record)), None)
            if found is not None or time.monotonic() >= deadline_s:
                return found
            time.sleep(POLL_S)
