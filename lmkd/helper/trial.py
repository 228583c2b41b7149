"""The trial of the store's algorithms, once, in calm, and the move of the store to the one that it picked.

Each is a process of its own at nice 19 (``lmkd store trial``, ``lmkd store move --if-better``): nothing is measured or
moved here, so the resident processes pay nothing for it. It is told to end as soon as memory is looked at anew, which
the guard has done only when the board is not calm, and another is tried later. A trial then removes its device; one
that was killed leaves it behind, which ``--clear`` removes. A move ends at once, and the next one (or the next start)
finishes it: no page is anywhere but on one of the two devices or in memory.
"""

from __future__ import annotations

import _signal
import os

from lmkd.helper.spawn import own_environment, spawn
from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_MS, LAST_MS = 120_000.0, 960_000.0
"""Between two looks whether it is calm: each is twice as long as the one before."""
RUNNING_MS = 5000.0
RUNNING_MAX = 24
NICE = 19
ADJ = 1000
ROOM_PART, ROOM_KIB = 4, 32 << 10
APPS_PART = 8
"""With less than this part of RAM in use by applications there is nothing to sample."""
MOVE_MS = 20_000.0
"""Calm before a move: what was stored is not needed at this moment, and the trial before it was in calm too."""
TRY, CLEAR, MOVE = ("trial",), ("trial", "--clear"), ("move", "--if-better")
WAITING, RUNNING, STOPPED, DONE = range(4)


class TrialRun:
    """Owns the one trial of this helper's life, and the one move.

    ``algorithm`` tells the store's own; None for a store that nothing is moved of. ``files`` is the configuration in
    force, empty for the system's.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        proc: str,
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
        algorithm: Callable[[], str] | None,
        action: tuple[str, ...] = TRY,
        files: tuple[str, ...] = (),
    ) -> None:
        self._command, self._meminfo, self._report = (*command, "store"), f"{proc}/meminfo", report
        self._algorithm = algorithm
        self._files = tuple(word for path in files for word in ("--config", path))
        self._state = WAITING
        self._action = action
        self._pause_ms = MOVE_MS if action == MOVE else FIRST_MS
        self._due_ms: float | None = None
        self._child = 0
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
        if self._state == RUNNING and self._action != CLEAR:
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

    def close(self) -> int:
        """Have it end. Returns the child that is still to be waited for, or 0."""
        if self._state == RUNNING:
            self._stop()
        return self._child if self._state == STOPPED else 0

    def _calm(self) -> bool:
        data = read_once(self._meminfo) or b""
        total, available, apps = (find_number(data, key) for key in (b"MemTotal:", b"MemAvailable:", b"AnonPages:"))
        if total is None or available is None or apps is None:
            return False
        room = max(total // ROOM_PART, ROOM_KIB)
        if self._action == MOVE:
            size, free = find_number(data, b"SwapTotal:"), find_number(data, b"SwapFree:")
            return size is not None and free is not None and available >= room + size - free
        return available >= room and (self._action == CLEAR or apps >= total // APPS_PART)

    def _start(self) -> None:
        environment = own_environment()
        environment.pop("NOTIFY_SOCKET", None)
        try:
            self._child = spawn((*self._command, *self._action, *self._files), environment, ADJ, NICE)
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
        if self._action == MOVE:
            self._moved(code)
        elif self._action == CLEAR:
            self._finish("was killed; its device is removed" if code == 0 else f"was killed; clearing failed: {code}")
        elif code < 0:
            self._state, self._action = WAITING, CLEAR
        elif code and self._state == STOPPED:
            self._later()
        elif code:
            self._finish(f"ended with {code}: see lmkd store trial")
        else:
            self._finish("remembered")
            if self._algorithm is not None:
                self._state, self._action, self._pause_ms = WAITING, MOVE, MOVE_MS

    def _moved(self, code: int) -> None:
        if code == 0:
            self._finish("the store has the algorithm that the trial picked")
        elif self._state == STOPPED or self._pause_ms < LAST_MS:
            self._say("ended, or no room: tried again in calm")
            self._later()
        else:
            self._finish(f"ended with {code}: see lmkd store move --if-better")

    def _later(self) -> None:
        self._state, self._pause_ms = WAITING, min(2 * self._pause_ms, LAST_MS)

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
        self._say(outcome)

    def _say(self, outcome: str) -> None:
        if self._action == MOVE and self._algorithm is not None:
            self._report("store_move", (("outcome", outcome), ("algorithm", self._algorithm())), "info")
        else:
            self._report("trial", (("outcome", outcome),), "info")
