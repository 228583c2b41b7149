"""Owns private memory of this process that is sent to swap on purpose: madvise(2) (Linux 5.4), mincore(2).

A page that swap refused is out of the page table and yet in memory, in the swap cache. pagemap calls it swapped;
mincore looks into the swap cache (mm/mincore.c, 5.4 to 6.12) and does not.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import errno_text
from lmkd.kernel.syscalls import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Touched(Protocol):
        """Memory of which an item is a byte: reading it touches its page."""

        def __getitem__(self, offset: int, /) -> int:
            """The byte there."""

MADV_NOHUGEPAGE, MADV_PAGEOUT = 15, 21
"""include/uapi/asm-generic/mman-common.h; Python's mmap does not name the second (3.13)."""


def away(vector: bytes) -> list[int]:
    """The numbers of the pages that mincore says are not in memory; of each byte only the lowest bit means anything."""
    return [number for number, state in enumerate(vector) if not state & 1]


class OwnMemory:
    """Whole pages of zeros, private and anonymous, never huge. KernelInterfaceError when there is no room for them."""

    def __init__(self, pages: int, page_bytes: int) -> None:
        self.pages, self.page_bytes = pages, page_bytes
        self._libc = Libc()
        try:
            self._memory = mmap.mmap(-1, pages * page_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise KernelInterfaceError(f"no memory for {pages} pages: {errno_text(error)}") from error
        with contextlib.suppress(OSError):  # a kernel without huge pages
            self._memory.madvise(MADV_NOHUGEPAGE)

    @property
    def bytes_by_offset(self) -> Touched:
        """The memory itself."""
        return self._memory

    def write(self, page: int, data: bytes) -> None:
        """Put ``data`` at the beginning of a page."""
        at = page * self.page_bytes
        self._memory[at : at + len(data)] = data

    def read(self, page: int) -> bytes:
        """The content of a page."""
        at = page * self.page_bytes
        return self._memory[at : at + self.page_bytes]

    def page_out(self, first: int, count: int) -> None:
        """Have the kernel reclaim ``count`` pages from ``first`` on, now. It does not say which it refused."""
        try:
            self._memory.madvise(MADV_PAGEOUT, first * self.page_bytes, count * self.page_bytes)
        except OSError as error:
            raise KernelInterfaceError(f"madvise MADV_PAGEOUT (Linux 5.4): {errno_text(error)}") from error

    def away(self) -> list[int]:
        """The numbers of the pages that are not in memory now: they are in the store alone."""
        vector = ctypes.create_string_buffer(self.pages)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        try:
            self._libc.call("mincore", address, len(self._memory), ctypes.addressof(vector))
        except OSError as error:
            raise KernelInterfaceError(f"mincore: {errno_text(error)}") from error
        return away(vector.raw)

    def close(self) -> None:
        """Give the memory back, wherever it is."""
        self._memory.close()
