"""The log: brings new records from the ring to where the configuration wants them, as far as that takes them."""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmkd.guard.exchange import Exchange
    from lmkd.helper.log_targets import Target
    from lmkd.plan import Plan

LEVELS = ("debug", "info", "warning", "error")
LEVEL_KEY = b'"level":"'
STDERR = 2
PREFIX = b"lmkd: "
NULL_DEVICE = os.makedev(1, 3)
FALLBACKS = {
    "stderr": ("stderr",), "journald": ("journald", "syslog", "stderr"), "syslog": ("syslog", "stderr"),
    "kmsg": ("kmsg", "stderr"),
}  # fmt: skip
AGAIN_MS = 10_000.0
"""A target that could not be reached is tried again after so long."""
PAUSE_MS, PAUSE_MAX_MS = 100.0, 10_000.0
"""A target that is full is tried again after so long, each time after twice as long."""


def targets_of(to: str, stderr: int, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The targets that ``log.to`` means, the best first: see the configuration's reference."""
    if to != "auto":
        return FALLBACKS[to]
    try:
        found = os.fstat(stderr)
    except OSError:
        return ("journald", "syslog", "kmsg")
    # systemd tells so what it has connected standard error to (systemd.exec(5)).
    if environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}":
        return FALLBACKS["journald"]
    return ("journald", "syslog", "kmsg") if found.st_rdev == NULL_DEVICE else ("stderr",)


class Logbook:
    """Owns the position in the ring, which outlives the helper, and the target that is in use."""

    def __init__(
        self, plan: Plan, exchange: Exchange, stderr: int = STDERR, paths: Mapping[str, str] | None = None
    ) -> None:
        self._exchange = exchange
        self._stderr = stderr
        self._from = LEVELS.index(plan.log_level)
        self._names = targets_of(plan.ways.log_to, stderr, os.environ)
        self._asked_for = plan.ways.log_to
        self._paths = paths or {}
        self._target: Target | None = None
        self._place = -1
        self._again_ms = 0.0
        self._said: set[str] = set()
        self._behind_since_ms, self._pause_ms = -1.0, PAUSE_MS

    def timeout_ms(self) -> float | None:
        """Until records that found no room are tried again; None when all are written."""
        if self._behind_since_ms < 0:
            return None
        return max(0.0, self._behind_since_ms + self._pause_ms - _now_ms())

    def turn(self) -> None:
        """Try again, if it is time."""
        if self._behind_since_ms >= 0 and self.timeout_ms() == 0.0:
            self.drain()

    def drain(self) -> None:
        """Write what is new: a reader that hangs must not hang the helper; the rest stays in the ring for later."""
        lines, head = self._exchange.records_since(self._exchange.log_position)
        written = 0
        for line in lines:
            if _severity(line) >= self._from and not self._write(line):
                break
            written += 1
        self._exchange.log_position = head - sum(len(line) + 1 for line in lines[written:])
        if written == len(lines):
            self._behind_since_ms, self._pause_ms = -1.0, PAUSE_MS
        else:
            self._pause_ms = PAUSE_MS if written or self._behind_since_ms < 0 else min(2 * self._pause_ms, PAUSE_MAX_MS)
            self._behind_since_ms = _now_ms()

    def close(self) -> None:
        """Let go of the target."""
        if self._target is not None:
            self._target.close()
            self._target = None

    def _write(self, line: bytes) -> bool:
        """Write to the best target that there is. True also when nobody takes it: it is in the ring."""
        if self._names == ("stderr",):
            return self._to_stderr(line)
        for _ in range(2 * len(self._names)):
            self._choose()
            if self._target is None:
                break
            try:
                return self._target.write(line)
            except OSError as error:
                self._lose(error)
        return self._to_stderr(line) if self._names[-1] == "stderr" else True

    def _choose(self) -> None:
        """Open the first target that can be opened; a better one than is in use is tried from time to time."""
        t_ms = _now_ms()
        if (self._target is not None and self._place == 0) or t_ms < self._again_ms:
            return
        from lmkd.helper.log_targets import Target

        self._again_ms = t_ms + AGAIN_MS
        better = self._names if self._target is None else self._names[: self._place]
        for place, name in enumerate(better):
            if name == "stderr":
                return
            try:
                target = Target(name, self._paths.get(name, ""))
            except OSError as error:
                if name == self._asked_for:
                    self._say(name, error)
                continue
            self.close()
            self._target, self._place = target, place
            return

    def _lose(self, error: OSError) -> None:
        self.close()
        self._again_ms = 0.0
        self._say(self._names[self._place], error)

    def _say(self, name: str, error: OSError) -> None:
        """That a target is not there, once: one that was asked for, or one that was there."""
        if name in self._said:
            return
        self._said.add(name)
        cost = f"records go elsewhere ({error.strerror})"
        self._exchange.post("degraded", (("feature", f"log to {name}"), ("cost", cost)), "warning")

    def _to_stderr(self, line: bytes) -> bool:
        ready = select.poll()
        ready.register(self._stderr, select.POLLOUT)
        if not any(events & select.POLLOUT for _, events in ready.poll(0)):
            return False
        try:
            os.write(self._stderr, PREFIX + line + b"\n")
        except OSError:
            return True  # nobody reads it: the record is in the ring only
        return True


def _severity(line: bytes) -> int:
    """The place of a record's level in ``LEVELS``; one without a level is always written."""
    start = line.find(LEVEL_KEY) + len(LEVEL_KEY)
    name = line[start : line.find(b'"', start)].decode("ascii", "replace") if start >= len(LEVEL_KEY) else ""
    return LEVELS.index(name) if name in LEVELS else len(LEVELS)


def _now_ms() -> float:
    return time.monotonic_ns() / 1e6
