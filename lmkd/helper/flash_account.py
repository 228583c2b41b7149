"""What was written to flash today, on paper: a restart, a crash or a new boot gives no second budget.

The account is charged before the kernel is told to write, and what it did not write is given back afterwards. A clock
that goes back begins no new day.
"""

from __future__ import annotations

import os
import time

from lmkd.helper.listing import make_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "writeback"
DAY_S = 86400


class FlashAccount:
    """Owns the account files, one in each folder; a folder that cannot be written is left out."""

    def __init__(self, folders: tuple[str, ...], daily_kib: int, wall_s: Callable[[], float] = time.time) -> None:
        self._folders = folders
        self._daily_kib = daily_kib
        self._wall_s = wall_s
        self._day, self._spent_kib = max((_read(f"{folder}/{NAME}") for folder in folders), default=(0, 0))

    def left_kib(self) -> int:
        """What may still be written today."""
        self._turn_page()
        return max(0, self._daily_kib - self._spent_kib)

    def charge(self, kib: int) -> None:
        """Count so much as written; negative: it was not, after all. On disk before this returns, where that works."""
        self._turn_page()
        self._spent_kib = max(0, self._spent_kib + kib)
        for folder in self._folders:
            _write(folder, b"%d %d\n" % (self._day, self._spent_kib))

    def _turn_page(self) -> None:
        day = int(self._wall_s()) // DAY_S
        if day > self._day:
            self._day, self._spent_kib = day, 0


def _read(path: str) -> tuple[int, int]:
    """(day, KiB) of an account; nothing for one that is missing or damaged."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return 0, 0
    try:
        words = os.read(descriptor, 64).split()
    except OSError:
        return 0, 0
    finally:
        os.close(descriptor)
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return 0, 0
    return int(words[0]), int(words[1])


def _write(folder: str, data: bytes) -> None:
    path = f"{folder}/{NAME}"
    try:
        make_folder(folder)
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(f"{path}.new", path)
    except OSError:
        return  # a read-only file system: the other folder has it
