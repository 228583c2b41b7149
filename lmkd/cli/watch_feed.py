"""What the live view shows, asked of the running lmkd again and again; a connection that breaks is made anew."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lmkd.cli.ps import numbered
from lmkd.cli.watch_parts import Seen
from lmkd.control.client import ControlClient
from lmkd.errors import ControlError, KernelInterfaceError
from lmkd.kernel.meminfo import Meminfo, parse_meminfo

EVENTS_KEPT = 100
ROWS_EVERY_MS = 3000.0
"""Every process is told about in some tens of KB: on a small board not each second."""
TURNS = frozenset(("kill", "receipt", "reload", "escalate"))
"""Records after which the kill order is another."""


class Feed:
    """Owns the connection and what was last seen. ``proc`` is where /proc is, ``connect`` how to reach lmkd."""

    def __init__(
        self, connect: Callable[[], ControlClient], proc: Path, clock_ms: Callable[[], float] | None = None
    ) -> None:
        self._connect = connect
        self._meminfo = proc / "meminfo"
        self._clock_ms = clock_ms or (lambda: time.monotonic() * 1000)
        self._client: ControlClient | None = connect()
        self._status: Mapping[str, Any] = {}
        self._rows: tuple[Mapping[str, Any], ...] = ()
        self._rows_ms = -ROWS_EVERY_MS
        self._events: deque[Mapping[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._since = 0

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def see(self) -> Seen:
        """Everything as it is now; where lmkd does not answer, as it last was, with the trouble."""
        trouble = ""
        try:
            try:
                self._ask()
            except ControlError:
                # A server may end a connection that was idle or asked much: that is no trouble yet.
                self.close()
                self._ask()
        except ControlError as error:
            self.close()
            trouble = f"{error}; trying again"
        return Seen(
            self._status, self._memory(), self._rows, tuple(self._events), self._clock_ms(), time.time(), trouble
        )

    def _ask(self) -> None:
        if self._client is None:
            self._client = self._connect()
        status = self._client.status()
        if status.get("started_ms") != self._status.get("started_ms"):
            self._since = 0  # another lmkd, whose records are numbered anew
            self._events.clear()
        self._status = status
        fresh = list(self._client.events(self._since))
        self._events.extend(fresh)
        numbers = [record["seq"] for record in fresh if type(record.get("seq")) is int]
        self._since = max([self._since, *(number + 1 for number in numbers)])
        now_ms = self._clock_ms()
        turned = any(record.get("event") in TURNS for record in fresh)
        if turned or now_ms - self._rows_ms >= ROWS_EVERY_MS:
            self._rows = tuple(numbered(self._client.candidates()))
            self._rows_ms = now_ms

    def _memory(self) -> Meminfo | None:
        try:
            return parse_meminfo(self._meminfo.read_bytes())
        except (OSError, KernelInterfaceError):
            return None
