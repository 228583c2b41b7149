"""Owns looking into a process's anonymous memory: its mappings, which pages are present, one page's content.

Source: Documentation/filesystems/proc.rst (maps, mem), Documentation/admin-guide/mm/pagemap.rst (Linux 4.2 to 6.12).
A page that pagemap shows as swapped is never read, for reading it would bring it in.
"""

from __future__ import annotations

import os

from lmkd.kernel.pinned import read_whole
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PRESENT, SWAPPED, OF_FILE = 1 << 63, 1 << 62, 1 << 61
ENTRY_BYTES = 8
ENTRIES_AT_ONCE = 512
PAGEMAP_BYTES_MAX = 4 << 20
"""As much of a process's pagemap is looked at: 2 GiB of addresses in pages of 4 KiB."""
_MAPS_BYTES_MAX = 1 << 20


@value
class Mapping:
    """A private mapping that may be written to: first address and length in bytes."""

    start: int
    length: int


def parse_maps(maps: bytes) -> list[Mapping]:
    """The private writable mappings in /proc/PID/maps, heap, stack and .data among them; a line cut off is left out."""
    found = []
    for line in maps.split(b"\n")[:-1]:
        fields = line.split(None, 5)
        if len(fields) >= 5 and fields[1] == b"rw-p":
            start, _, end = fields[0].partition(b"-")
            found.append(Mapping(int(start, 16), int(end, 16) - int(start, 16)))
    return found


def is_own(entry: int) -> bool:
    """Whether a pagemap entry is that of a present anonymous page: one that the store could be given."""
    return entry & (PRESENT | SWAPPED | OF_FILE) == PRESENT


def own_entries(data: bytes) -> list[int]:
    """The indices of the present anonymous pages in a piece of pagemap; holes are passed over fast."""
    if not data.strip(b"\0"):
        return []
    entries = memoryview(data[: len(data) // ENTRY_BYTES * ENTRY_BYTES]).cast("Q")
    return [index for index, entry in enumerate(entries) if is_own(entry)]


class ProcessPages:
    """The memory of one process, open for reading; a context manager. OSError when it is gone or may not be read."""

    def __init__(self, proc: str, pid: int, page_bytes: int) -> None:
        self._page_bytes = page_bytes
        self._maps = f"{proc}/{pid}/maps"
        self._pagemap = os.open(f"{proc}/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._memory = os.open(f"{proc}/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._pagemap)
            raise

    def __enter__(self) -> ProcessPages:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pagemap)
        os.close(self._memory)

    def present(self) -> Iterator[int]:
        """The numbers (address / page size) of present anonymous pages, of so many mappings as the bound allows."""
        left_bytes = PAGEMAP_BYTES_MAX
        for mapping in parse_maps(read_whole(self._maps, _MAPS_BYTES_MAX) or b""):
            first = mapping.start // self._page_bytes
            pages = mapping.length // self._page_bytes
            for at in range(0, pages, ENTRIES_AT_ONCE):
                if left_bytes <= 0:
                    return
                count_bytes = min(ENTRIES_AT_ONCE, pages - at) * ENTRY_BYTES
                left_bytes -= count_bytes
                yield from (first + at + index for index in own_entries(self._entries(first + at, count_bytes)))

    def read(self, page: int, into: memoryview) -> bool:
        """Fill ``into`` with the content of a page; False when it is no longer present or cannot be read."""
        entry = self._entries(page, ENTRY_BYTES)
        if len(entry) != ENTRY_BYTES or not own_entries(entry):
            return False
        try:
            return os.preadv(self._memory, [into], page * self._page_bytes) == self._page_bytes
        except (OSError, OverflowError):
            return False

    def _entries(self, page: int, count_bytes: int) -> bytes:
        try:
            return os.pread(self._pagemap, count_bytes, page * ENTRY_BYTES)
        except (OSError, OverflowError):
            return b""
