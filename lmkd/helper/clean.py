"""Deleting what the configuration allows to be deleted on a tmpfs: regular files, oldest first, and nothing else.

No symbolic link is followed and no other mount entered: every folder is opened by O_NOFOLLOW from the one above it,
and must have the mount id of the first (/proc/self/fdinfo, Documentation/filesystems/proc.rst, 3.8).
"""

from __future__ import annotations

import os
import stat
import time

from lmkd.kernel.counters import find_number
from lmkd.kernel.held_files import BLOCK_BYTES
from lmkd.kernel.mountinfo import read_mountinfo
from lmkd.kernel.pinned import read_once
from lmkd.matching import glob_match
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from lmkd.plan import TmpfsRule

    States = tuple[tuple[tuple[str, ...], frozenset[int]], ...]
    """Each pattern in parts, with the places in it that a path has reached."""

FILES_MAX = 256
"""So many are remembered at a time; of more, the oldest."""
ENTRIES_MAX = 20_000
DEPTH_MAX = 16
WALK_MS = 300.0
ANY_DEPTH = "**"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@value
class Old:
    """A file that may go: when it was last written, its path from the mount, its inode, and what it takes."""

    mtime_ns: int
    path: tuple[str, ...]
    inode: int
    kib: int


def advance(pattern: tuple[str, ...], places: frozenset[int], name: str) -> frozenset[int]:
    """The places in a pattern (split at its slashes) that a path has reached after one more component.

    ``*`` stays within a component, ``**`` stands for any number of them, at the end for one at least. As in a shell, a
    wildcard does not stand for the dot that a name begins with.
    """
    found: set[int] = set()
    for at in places:
        if at >= len(pattern):
            continue
        if pattern[at] == ANY_DEPTH:
            if not name.startswith("."):
                found.update((at, at + 1) if at + 1 == len(pattern) else (at,))
            if at + 1 < len(pattern) and _fits(pattern[at + 1], name):
                found.add(at + 2)
        elif _fits(pattern[at], name):
            found.add(at + 1)
    return frozenset(found)


def matches(pattern: str, path: str) -> bool:
    """Whether a path (from the mount, no slash first) is one that the pattern means."""
    parts, places = tuple(pattern.split("/")), frozenset((0,))
    for name in path.split("/"):
        places = advance(parts, places, name)
    return len(parts) in places


def _fits(part: str, name: str) -> bool:
    return glob_match(part, name) and (not name.startswith(".") or part.startswith("."))


class Cleaner:
    """One rule's mount. Use it at once and anew: what it has open is closed by ``close``."""

    def __init__(self, proc: str, rule: TmpfsRule, held: Container[tuple[int, int]]) -> None:
        """``held`` are (device, inode) of files that somebody has open or mapped: deleting these returns nothing."""
        self._proc = proc
        self._patterns = tuple(tuple(pattern.split("/")) for pattern in rule.delete)
        self._held = held
        self._device, self._number, self._entries = -1, -1, 0
        self._deadline_s = time.monotonic() + WALK_MS / 1000
        self._old: list[Old] = []
        self._root = self._open(rule.mount)

    def close(self) -> None:
        """Let go of the mount."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def files(self) -> list[Old]:
        """The files that may go, oldest first, of very many the oldest ``FILES_MAX`` that were found in time."""
        if self._root >= 0:
            start = tuple((pattern, frozenset((0,))) for pattern in self._patterns)
            self._walk(os.dup(self._root), (), start)
        return self._oldest()

    def delete(self, old: Old) -> bool:
        """Delete one file, if it still is the one that was found."""
        folder = os.dup(self._root)
        try:
            for name in old.path[:-1]:
                below = self._enter(folder, name)
                os.close(folder)
                folder = below
                if folder < 0:
                    return False
            found = os.stat(old.path[-1], dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or (found.st_ino, found.st_mtime_ns) != (old.inode, old.mtime_ns):
                return False
            os.unlink(old.path[-1], dir_fd=folder)
        except OSError:
            return False
        finally:
            if folder >= 0:
                os.close(folder)
        return True

    def _open(self, path: str) -> int:
        """The mount itself; -1 when there is no tmpfs at exactly this path."""
        there = [mount for mount in read_mountinfo(self._proc) if mount.path == path]
        if not there or there[-1].kind != "tmpfs":
            return -1
        try:
            folder = os.open(path, _FOLDER)
        except OSError:
            return -1
        self._device, self._number = there[-1].device, there[-1].number
        if self._is_ours(folder):
            return folder
        os.close(folder)
        return -1

    def _enter(self, folder: int, name: str) -> int:
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError:
            return -1
        if self._is_ours(below):
            return below
        os.close(below)
        return -1

    def _is_ours(self, folder: int) -> bool:
        info = read_once(f"{self._proc}/self/fdinfo/{folder}", 512) or b""
        return os.fstat(folder).st_dev == self._device and find_number(info, b"mnt_id:") == self._number

    def _walk(self, folder: int, path: tuple[str, ...], states: States) -> None:
        """Look at a folder (an open descriptor, closed here) and, where a pattern leads on, at those in it."""
        below = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._entries += 1
                    if self._entries > ENTRIES_MAX or time.monotonic() > self._deadline_s:
                        return
                    further = tuple((pattern, advance(pattern, places, entry.name)) for pattern, places in states)
                    if entry.is_dir(follow_symlinks=False):
                        if any(places for _, places in further) and len(path) < DEPTH_MAX:
                            below.append((entry.name, further))
                    elif any(len(pattern) in places for pattern, places in further):
                        self._take(entry, path)
        except OSError:
            below = []
        try:
            for name, further in below:
                inner = self._enter(folder, name)
                if inner >= 0:
                    self._walk(inner, (*path, name), further)
        finally:
            os.close(folder)

    def _take(self, entry: os.DirEntry[str], path: tuple[str, ...]) -> None:
        """Only what goes with this name and gives something back: no second name, nobody who holds it."""
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            return
        kib = found.st_blocks * BLOCK_BYTES // 1024
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or kib == 0 or found.st_dev != self._device:
            return
        if (found.st_dev, found.st_ino) in self._held:
            return
        self._old.append(Old(found.st_mtime_ns, (*path, entry.name), found.st_ino, kib))
        if len(self._old) >= 2 * FILES_MAX:
            self._oldest()

    def _oldest(self) -> list[Old]:
        self._old.sort(key=_age)
        del self._old[FILES_MAX:]
        return self._old


def _age(old: Old) -> tuple[int, tuple[str, ...]]:
    return old.mtime_ns, old.path
