"""The file that tells the pressure level: one line of fixed width, rewritten in place with one write.

In place, so that who watches the file (inotify) and who keeps it open go on seeing it. The kernel does not make a read
wait for a write of the same bytes (measured on tmpfs, with nothing but reads and writes: one read in some 5000 had a
part of each), so the line begins and ends with the level, which every write changes: where they differ, read again.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Report = Callable[[str, tuple[tuple[str, object], ...], str], None]

WIDTH = 160
STOPPED = "unknown"


def level_line(level: str, previous: str, t_ms: float, headroom_kib: int, exhaustion_ms: float | None) -> bytes:
    """The line, ``WIDTH`` bytes with its newline. ``exhaustion_ms`` None: not in sight."""
    lasts = "none" if exhaustion_ms is None else f"{exhaustion_ms:.0f}"
    text = f"level={level} previous={previous} t_ms={t_ms:.0f} headroom_kib={headroom_kib} exhaustion_ms={lasts}"
    return f"{text} end={level}".ljust(WIDTH - 1).encode() + b"\n"


class LevelFile:
    """Owns the file; where it cannot be written that is said once, and tried again at the next change."""

    def __init__(self, path: str, report: Report) -> None:
        self._path = path
        self._report = report
        self._descriptor = -1
        self._said = False

    def write(self, line: bytes) -> None:
        """Make this the file's content."""
        try:
            if self._descriptor < 0 or not os.fstat(self._descriptor).st_nlink:
                self.close()
                self._open()
            os.pwrite(self._descriptor, line, 0)
        except OSError as error:
            self.close()
            if not self._said:
                self._said = True
                cost = f"{self._path} does not tell the level ({error.strerror})"
                self._report("degraded", (("feature", "level file"), ("cost", cost)), "warning")

    def close(self) -> None:
        """Let go of it; the file stays as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        os.makedirs(os.path.dirname(self._path), mode=0o755, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(self._path, flags, 0o644)
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is no regular file")
        os.fchmod(self._descriptor, 0o644)
        if found.st_size > WIDTH:
            os.ftruncate(self._descriptor, WIDTH)
