"""What ends the waits of a client, from any thread and from a signal handler that interrupts the waiting itself."""

from __future__ import annotations

import contextlib
import threading


class Stopped:
    """As ``threading.Event``, whose ``set`` may wait for ever for a lock that the interrupted ``wait`` holds."""

    def __init__(self) -> None:
        self._is_set = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def is_set(self) -> bool:
        """Has ``set`` been called?"""
        return self._is_set

    def set(self) -> None:
        """End every wait, for good."""
        self._is_set = True
        self._open()

    def wait(self, timeout_s: float) -> None:
        """Until ``set``, so long at most."""
        if not self._is_set and self._lock.acquire(timeout=timeout_s):
            self._open()

    def _open(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is open already
            self._lock.release()
