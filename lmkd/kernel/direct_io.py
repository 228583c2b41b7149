"""Owns direct reading and writing of a block device: aligned buffers, the page cache passed by (open(2), O_DIRECT)."""

from __future__ import annotations

import mmap
import os

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import AnyPath


class PageBuffer:
    """Whole pages at an aligned address, kept out of core dumps, and of swap where that may be had (mlock(2))."""

    def __init__(self, size_bytes: int) -> None:
        self._memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self._memory)
        dont_dump = getattr(mmap, "MADV_DONTDUMP", None)
        if dont_dump is not None:
            self._memory.madvise(dont_dump)
        _lock(self._memory)

    def __len__(self) -> int:
        return len(self._memory)

    def close(self) -> None:
        """Give the memory back, overwritten."""
        self.view[:] = bytes(len(self.view))
        try:
            self.view.release()
            self._memory.close()
        except BufferError:
            return  # an error on its way up still refers to a part: the memory goes with it


class DirectDevice:
    """A block device opened for this process alone (O_EXCL: EBUSY if it is mounted, held or swap)."""

    def __init__(self, path: AnyPath) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC)
        except OSError as error:
            raise KernelInterfaceError(f"{os.fspath(path)}: cannot open: {errno_text(error)}") from error

    def write(self, pages: memoryview, offset: int) -> None:
        """Write all of ``pages``; KernelInterfaceError also for a part (a store that is full takes a part)."""
        self._whole(lambda rest, at: os.pwrite(self._descriptor, rest, at), pages, offset, "write")

    def read(self, pages: memoryview, offset: int) -> None:
        """Fill all of ``pages``."""
        self._whole(lambda rest, at: os.preadv(self._descriptor, [rest], at), pages, offset, "read")

    def close(self) -> None:
        """Let go of the device."""
        os.close(self._descriptor)

    def _whole(self, call: Transfer, pages: memoryview, offset: int, verb: str) -> None:
        done = 0
        while done < len(pages):
            try:
                count = call(pages[done:], offset + done)
            except OSError as error:
                raise KernelInterfaceError(f"{os.fspath(self._path)}: cannot {verb}: {errno_text(error)}") from error
            if count <= 0:
                raise KernelInterfaceError(f"{os.fspath(self._path)}: the {verb} ended after {done} bytes")
            done += count


if TYPE_CHECKING:
    from collections.abc import Callable

    Transfer = Callable[[memoryview, int], int]


def _lock(memory: mmap.mmap) -> None:
    import ctypes

    from lmkd.kernel.syscalls import Libc

    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    try:
        Libc().call("mlock", address, len(memory))
    except OSError:
        return  # no right to it: the pages may be swapped out like any other
