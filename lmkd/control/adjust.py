"""The talker's own oom_score_adj: it may be ended like any program, but not while somebody relies on being told."""

from __future__ import annotations

import contextlib
import os

from lmkd.kernel.pinned import read_once

ADJ_ALONE = b"900"
NICE_TELLING, NICE_SERVING = -10, 0
"""Who has to be told must not wait for what eats the memory; what clients ask for is nobody's hurry but their own."""


class Adjuster:
    """Puts it to the helper's, which it was started with, or to ``ADJ_ALONE``."""

    def __init__(self, proc: str) -> None:
        self._path = f"{proc}/self/oom_score_adj"
        self._helpers = (read_once(self._path) or b"").strip()
        self._relied: bool | None = None

    def set(self, relied: bool) -> None:
        """Somebody relies on us, or nobody does."""
        if relied is self._relied or not self._helpers:
            return
        self._relied = relied
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, self._helpers if relied else ADJ_ALONE)
            finally:
                os.close(descriptor)
        except OSError:
            return  # lowering it again takes CAP_SYS_RESOURCE


class Haste:
    """Its nice value: low while it waits for something to tell, nobody's better while it works for a client."""

    def __init__(self) -> None:
        self._nice: int | None = None

    def set(self, nice: int) -> None:
        """Take it; where that is not allowed it stays as it is."""
        if nice == self._nice:
            return
        self._nice = nice
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
