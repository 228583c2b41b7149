"""What came of an order: the records that lmkd wrote after it was given."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from lmkd.control.client import ControlClient
from lmkd.errors import ControlError

Record = Mapping[str, Any]
POLL_S = 0.05


class FollowUp:
    """The records from now on, over a connection of its own. Made before the order is given: none is missed.

    A connection that lmkd ends, as after a reload, is made anew.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._client: ControlClient | None = ControlClient(path)
        self._since = 0
        self._fresh()

    def __enter__(self) -> FollowUp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    def first(self, is_it: Callable[[Record], bool], wait_s: float) -> Record | None:
        """The first that is wanted; None when none came in this time. ControlError: lmkd is gone."""
        deadline_s = time.monotonic() + wait_s
        while True:
            trouble = None
            try:
                found = next((record for record in self._fresh() if is_it(record)), None)
                if found is not None:
                    return found
            except ControlError as error:
                self._drop()
                trouble = error
            if time.monotonic() >= deadline_s:
                if trouble is not None:
                    raise trouble
                return None
            time.sleep(POLL_S)

    def _fresh(self) -> list[dict[str, Any]]:
        if self._client is None:
            self._client = ControlClient(self._path)
        records = list(self._client.events(self._since))
        numbers = [record["seq"] for record in records if type(record.get("seq")) is int]
        self._since = max([self._since, *(number + 1 for number in numbers)])
        return records

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
