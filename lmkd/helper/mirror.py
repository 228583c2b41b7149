"""Our priorities as oom_score_adj, so that the kernel, should it ever have to choose, chooses as we would."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

INIT = 1


class Mirror:
    """Writes oom_score_adj where it differs. Not for process 1: all that it starts would inherit the value."""

    def __init__(
        self,
        proc: str,
        active: bool,
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
    ) -> None:
        self._proc = proc
        self._active = active
        self._report = report
        self._reported = False

    def write(self, pid: int, current: int | None, priority: int) -> None:
        """Make ``priority`` the process's oom_score_adj, which now is ``current`` (None: it cannot be read)."""
        if not self._active or pid == INIT or current in (priority, None):
            return
        path = f"{self._proc}/{pid}/oom_score_adj"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            try:
                os.write(descriptor, b"%d" % priority)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, ProcessLookupError):
            return  # it is gone
        except OSError as error:
            if not self._reported:
                self._reported = True  # one line for the ability that is missing, not one a process
                cost = f"{path}: {error.strerror}: the kernel would choose by other priorities"
                self._report("degraded", (("feature", "oom_score_adj"), ("cost", cost)), "warning")
