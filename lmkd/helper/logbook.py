"""The log: brings new records from the ring to standard error, as far as that takes them at once."""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.guard.exchange import Exchange
    from lmkd.plan import Plan

LEVELS = ("debug", "info", "warning", "error")
LEVEL_KEY = b'"level":"'
STDERR = 2
PREFIX = b"lmkd: "


class Logbook:
    """Owns the place up to which the ring is written out (in shared memory: the next helper goes on from it)."""

    def __init__(self, plan: Plan, exchange: Exchange, stderr: int = STDERR) -> None:
        self._exchange = exchange
        self._stderr = stderr
        self._from = LEVELS.index(plan.log_level)

    def timeout_ms(self) -> float | None:
        """Until records that found no room are tried again; None: not before the next ones come."""
        return None

    def drain(self) -> bool:
        """Write what is new: a reader that hangs must not hang the helper. False: the rest stays in the ring."""
        lines, head = self._exchange.records_since(self._exchange.log_position)
        written = 0
        for line in lines:
            if _severity(line) >= self._from and not self.write(line):
                break
            written += 1
        self._exchange.log_position = head - sum(len(line) + 1 for line in lines[written:])
        return written == len(lines)

    def write(self, line: bytes) -> bool:
        """Write one record; False when there is no room for it just now."""
        ready = select.poll()
        ready.register(self._stderr, select.POLLOUT)
        if not any(events & select.POLLOUT for _, events in ready.poll(0)):
            return False
        try:
            os.write(self._stderr, PREFIX + line + b"\n")
        except OSError:
            return True  # nobody reads it: the record is in the ring only
        return True

    def close(self) -> None:
        """Let go of what is open."""


def _severity(line: bytes) -> int:
    """The place of a record's level in ``LEVELS``; one without a level is always written."""
    start = line.find(LEVEL_KEY) + len(LEVEL_KEY)
    name = line[start : line.find(b'"', start)].decode("ascii", "replace") if start >= len(LEVEL_KEY) else ""
    return LEVELS.index(name) if name in LEVELS else len(LEVELS)
