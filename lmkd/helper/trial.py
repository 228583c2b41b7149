"""The trial of the store's algorithms, once, in calm: ``lmkd store trial`` as a process of its own, at nice 19.

Nothing is measured here: the program is short-lived, and so costs the resident processes nothing. It is told to end as
soon as memory is looked at anew, which the guard has done only when the board is not calm; it then removes its device,
and another is tried later. One that was killed leaves a device behind, which ``--clear`` removes.
"""

from __future__ import annotations

import _signal
import os

from lmkd.helper.spawn import spawn
from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_MS, LAST_MS = 60_000.0, 960_000.0
"""Between two looks whether it is calm: each is twice as long as the one before."""
RUNNING_MS = 5000.0
RUNNING_MAX = 24
NICE = 19
ADJ = 1000
ROOM_PART, ROOM_KIB = 4, 32 << 10
APPS_PART = 8
"""With less than this part of RAM in use by applications there is nothing to sample."""
CLEAR = ("--clear",)
WAITING, RUNNING, STOPPED, DONE = range(4)


class TrialRun:
    """Owns the one trial of this helper's life."""

    def __init__(
        self, command: tuple[str, ...], proc: str, report: Callable[[str, tuple[tuple[str, object], ...], str], None]
    ) -> None:
        self._command, self._meminfo, self._report = (*command, "store", "trial"), f"{proc}/meminfo", report
        self._state = WAITING
        self._pause_ms = FIRST_MS
        self._due_ms: float | None = None
        self._child = 0
        self._options: tuple[str, ...] = ()
        self._looks = 0

    def timeout_ms(self, now_ms: float) -> float | None:
        """How long the loop may wait; None when there is nothing more to do."""
        if self._state == DONE:
            return None
        if self._due_ms is None:
            self._due_ms = now_ms + self._pause_ms
        return max(0.0, self._due_ms - now_ms)

    def disturb(self, now_ms: float) -> None:
        """It is not calm: end what runs, wait anew."""
        if self._state == RUNNING and not self._options:
            self._stop()
        elif self._state == WAITING:
            self._due_ms = now_ms + self._pause_ms

    def turn(self, now_ms: float) -> None:
        """Look, if it is time: is it calm, has it ended?"""
        if self._state == DONE or self._due_ms is None or now_ms < self._due_ms:
            return
        if self._state == WAITING:
            if self._calm():
                self._start()
            else:
                self._pause_ms = min(2 * self._pause_ms, LAST_MS)
        else:
            self._collect()
        self._due_ms = now_ms + (self._pause_ms if self._state == WAITING else RUNNING_MS)

    def close(self) -> None:
        """The helper ends: so does the trial, by itself."""
        if self._state == RUNNING:
            self._stop()

    def _calm(self) -> bool:
        data = read_once(self._meminfo) or b""
        total, available, apps = (find_number(data, key) for key in (b"MemTotal:", b"MemAvailable:", b"AnonPages:"))
        if total is None or available is None or apps is None:
            return False
        has_room = available >= max(total // ROOM_PART, ROOM_KIB)
        return has_room and (self._options == CLEAR or apps >= total // APPS_PART)

    def _start(self) -> None:
        environment = {**os.environ}
        environment.pop("NOTIFY_SOCKET", None)
        try:
            self._child = spawn((*self._command, *self._options), environment, ADJ, NICE, quiet=True)
            self._state, self._looks = RUNNING, 0
        except OSError as error:
            self._finish(f"cannot be run: {error.strerror}")

    def _collect(self) -> None:
        pid, status = os.waitpid(self._child, os.WNOHANG)
        self._looks += 1
        if not pid:
            if self._looks >= RUNNING_MAX:
                self._stop() if self._looks == RUNNING_MAX else self._signal(_signal.SIGKILL)
            return
        code = os.waitstatus_to_exitcode(status)
        if self._options:
            self._finish("was killed; its device is removed" if code == 0 else f"was killed; clearing failed: {code}")
        elif code < 0:
            self._state, self._options = WAITING, CLEAR
        elif code and self._state == STOPPED:
            self._state, self._pause_ms = WAITING, min(2 * self._pause_ms, LAST_MS)
        elif code:
            self._finish(f"ended with {code}: see lmkd store trial")
        else:
            self._finish("remembered, in force when the store is made the next time")

    def _stop(self) -> None:
        self._state = STOPPED
        self._signal(_signal.SIGTERM)

    def _signal(self, signal: int) -> None:
        try:
            os.kill(self._child, signal)
        except ProcessLookupError:
            return  # it has ended, and is collected at the next look

    def _finish(self, outcome: str) -> None:
        self._state = DONE
        self._report("trial", (("outcome", outcome),), "info")
