"""Kernel files that are read again and again: opened once, read with pread, no path lookup and no allocation twice."""

from __future__ import annotations

import os

SIZE_MAX = 16384


class PinnedFile:
    """One /proc or /sys file kept open. ``read`` gives bytes, or None when the file is missing or fails."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._open()

    @property
    def present(self) -> bool:
        """Could the file be opened?"""
        return self._descriptor >= 0

    def read(self) -> bytes | None:
        """The file's content now (at most ``SIZE_MAX`` bytes); None when the kernel does not give it."""
        if self._descriptor < 0:
            return None
        try:
            return os.pread(self._descriptor, SIZE_MAX, 0)
        except OSError:
            # A sysfs file whose device went away answers ENODEV for ever; a new one may have taken its name.
            self.close()
            self._open()
            return None

    def close(self) -> None:
        """Let go of the descriptor; reading gives None from here on."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._descriptor = -1


def read_once(path: str, limit: int = SIZE_MAX) -> bytes | None:
    """The content of a small file; None when it is missing or cannot be read (a process that is gone is a value).

    One read(2): for a file that the kernel makes of one piece, as those of a process. See ``read_whole``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, limit)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_whole(path: str, limit: int) -> bytes | None:
    """As ``read_once``, for lists: of these one read(2) gives about a page (fs/seq_file.c), whatever it asks for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    data = b""
    try:
        while len(data) < limit and (piece := os.read(descriptor, limit - len(data))):
            data += piece
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data
