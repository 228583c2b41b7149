"""The file that tells the pressure level: one line of fixed width, rewritten in place with one write.

In place, so that who watches the file (inotify) and who keeps it open go on seeing it. The kernel does not make a read
wait for a write of the same bytes (measured on tmpfs, with nothing but reads and writes: one read in some 5000 had a
part of each), so the line begins and ends with the level, which every write changes: where they differ, read again.
"""

from __future__ import annotations

import os
import stat

from lmkd.guard.notices import COUNT, LEVEL, LEVEL_AT
from lmkd.helper.listing import make_folder
from lmkd.policy.forecast import NEVER_MS
from lmkd.policy.pressure import LEVELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.guard.exchange import Exchange

WIDTH = 160
STOPPED = "unknown"
MODE = 0o644
TRIES = 100


def read_level(view: memoryview) -> tuple[int, int, int, float, float | None, int]:
    """(turn, level, previous, t_ms, exhaustion_ms, headroom_kib) as the guard told last; each change has a new turn."""
    for _ in range(TRIES):
        turn, level, previous, t_ms, lasts_ms, headroom_kib, _ = LEVEL.unpack_from(view, LEVEL_AT)
        if turn % 2 == 0 and COUNT.unpack_from(view, LEVEL_AT)[0] == turn:
            break
    return turn, level, previous, t_ms, lasts_ms if turn and lasts_ms < NEVER_MS else None, headroom_kib


def level_line(level: str, previous: str, t_ms: float, exhaustion_ms: float | None, headroom_kib: int) -> bytes:
    """The line, ``WIDTH`` bytes with its newline. ``exhaustion_ms`` None: not in sight."""
    lasts = "none" if exhaustion_ms is None else int(exhaustion_ms)
    text = f"level={level} previous={previous} t_ms={int(t_ms)} headroom_kib={headroom_kib} exhaustion_ms={lasts}"
    return f"{text} end={level}".ljust(WIDTH - 1).encode() + b"\n"


class LevelFile:
    """Owns the file; where it cannot be written that is said once, and tried again at the next change."""

    def __init__(self, path: str, exchange: Exchange) -> None:
        self._path = path
        self._exchange = exchange
        self._descriptor = -1
        self._turn = -1
        self._said = False
        self.renew()

    def renew(self) -> None:
        """Write the level, if it has changed."""
        turn, level, previous, t_ms, lasts_ms, headroom_kib = read_level(self._exchange.notices.view)
        if turn != self._turn:
            self._turn = turn
            self._write(level_line(LEVELS[level], LEVELS[previous], t_ms, lasts_ms, headroom_kib))

    def close(self, following: str = "") -> None:
        """Nobody knows the level until the next helper tells it; where the ``following`` file is the same it stays."""
        if following != self._path:
            _, level, _, t_ms, _, headroom_kib = read_level(self._exchange.notices.view)
            self._write(level_line(STOPPED, LEVELS[level], t_ms, None, headroom_kib))
        self._let_go()

    def _write(self, line: bytes) -> None:
        try:
            if self._descriptor < 0 or not os.fstat(self._descriptor).st_nlink:
                self._let_go()
                self._open()
            os.pwrite(self._descriptor, line, 0)
        except OSError as error:
            self._let_go()
            if not self._said:
                self._said = True
                cost = f"{self._path} does not tell the level ({error.strerror})"
                self._exchange.post("degraded", (("feature", "level file"), ("cost", cost)), "warning")

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            self._descriptor = os.open(self._path, flags, MODE)
        except FileNotFoundError:
            make_folder(self._path.rpartition("/")[0])
            self._descriptor = os.open(self._path, flags, MODE)
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is no regular file")
        if stat.S_IMODE(found.st_mode) != MODE:
            os.fchmod(self._descriptor, MODE)
        if found.st_size > WIDTH:
            os.ftruncate(self._descriptor, WIDTH)
