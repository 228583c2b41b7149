"""What the service manager is told: ready, alive, reloading, stopping; by one write each, which is never waited for."""

from __future__ import annotations

import errno
import os

from lmkd.kernel.notify import NOBODY
from lmkd.resident.unmanaged import NEVER_MS, Unmanaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.plan import Plan
    from lmkd.policy.step import State

BUSY = (errno.EAGAIN, errno.ENOBUFS)
AGAIN_MS = 1000.0
"""So long after the manager had no room for a message it is sent again."""


class Manager(Unmanaged):
    """Owns the connections that the planner made, and the watchdog's clock.

    What a manager that does not read has no room for is sent again, the latest message alone.
    """

    def __init__(self, plan: Plan) -> None:
        self._socket = plan.notify_fd
        self._ready = plan.ready_fd
        self._period_ms = plan.watchdog_ms if self._socket != NOBODY else 0
        self._sent_ms = plan.started_ms
        self._unsent = b""

    def ready(self, status: str) -> None:
        """The service is up, or a reload has ended; ``status`` is shown to people."""
        self._send(f"READY=1\nSTATUS={status}".encode())
        if self._ready != NOBODY:
            descriptor, self._ready = self._ready, NOBODY
            try:
                os.write(descriptor, b"\n")
            except OSError:
                return  # who started us did not wait for it
            finally:
                os.close(descriptor)

    def reloading(self, t_ms: float) -> None:
        """A reload begins; ``ready`` ends it, whatever came of it."""
        self._send(b"RELOADING=1\nMONOTONIC_USEC=%d" % (t_ms * 1000))

    def stopping(self) -> None:
        """The service ends by its own will or because it was told to."""
        self._send(b"STOPPING=1")

    def alive(self, t_ms: float, state: State) -> float:
        """Called at each turn of the loop: feed the watchdog when it is time; when to turn next at the latest.

        A datagram takes memory: while that is short it waits for half of the period, else for a quarter.
        """
        if self._unsent and not self._send(self._unsent):
            return t_ms + AGAIN_MS
        if not self._period_ms:
            return NEVER_MS
        calm = state.level == "calm" and state.flight is None
        if t_ms >= self._sent_ms + self._period_ms / (4 if calm else 2):
            words = f"{state.level}, headroom {state.room.total_kib >> 10} MiB, {state.kills} killed"
            if not self._send(f"WATCHDOG=1\nSTATUS={words}".encode()):
                return t_ms + AGAIN_MS
            self._sent_ms = t_ms
        return self._sent_ms + self._period_ms / 2

    def _send(self, message: bytes) -> bool:
        """False when there was no room for it now: then it is kept."""
        self._unsent = b""
        if self._socket == NOBODY:
            return True
        try:
            os.write(self._socket, message)
        except OSError as error:
            if error.errno in BUSY:
                self._unsent = message
                return False
            os.close(self._socket)  # it is gone, and with it who would miss us
            self._socket, self._period_ms = NOBODY, 0
        return True
