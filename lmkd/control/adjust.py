"""The talker's own oom_score_adj: it may be ended like any program, but not while somebody relies on being told."""

from __future__ import annotations

import os

from lmkd.kernel.pinned import read_once

ADJ_ALONE = b"900"


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
