"""Sampling what grows: do its pages compress? Known before the kernel has filled the store with them."""

from __future__ import annotations

import os

from lmkd.kernel.pinned import read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAPS_BYTES = 65536
PROBES = 192
PAGES = 8
PRESENT = 1 << 63
WORD_BYTES = 4
RATIO_MIN, RATIO_MAX = 1.0, 4.0
NOISE = 1.15


class Dice:
    """Numbers that are even enough to pick pages with (Park and Miller); ``random`` brings in hashlib and more."""

    def __init__(self, seed: int) -> None:
        self._state = seed % 2147483646 + 1

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        self._state = self._state * 48271 % 2147483647
        return self._state % limit


def largest_anonymous(maps: bytes) -> tuple[int, int] | None:
    """(start, bytes) of the largest private writable mapping without a file in /proc/PID/maps; None without one."""
    best: tuple[int, int] | None = None
    for line in maps.split(b"\n"):
        fields = line.split()
        if len(fields) >= 5 and fields[1] == b"rw-p" and fields[4] == b"0":
            start, _, end = fields[0].partition(b"-")
            size = int(end, 16) - int(start, 16)
            if best is None or size > best[1]:
                best = (int(start, 16), size)
    return best


def shares_of(pages: list[bytes]) -> list[float]:
    """An estimate of what a compressor leaves of each page, 0..1.

    A compressor of the LZ4 kind saves what it has seen before, in pieces of four bytes and more: distinct words count
    what it has not. Words that repeat out of alignment are missed, so the estimate errs to the safe side.
    """
    shares = []
    for page in pages:
        view = memoryview(page[: len(page) // WORD_BYTES * WORD_BYTES]).cast("I")
        if view:
            shares.append(len(set(view)) / len(view))
    return shares


def ratio_of(pages: list[bytes]) -> float | None:
    """An estimate of the ratio at which the store takes these pages; None without pages."""
    shares = shares_of(pages)
    if not shares:
        return None
    ratio = min(RATIO_MAX, max(RATIO_MIN, len(shares) / sum(shares)))
    return ratio if ratio >= NOISE else RATIO_MIN


def sample_ratio(proc: str, pid: int, page_bytes: int, choose: Callable[[int], int] | None = None) -> float | None:
    """The estimate for a process, from a few resident pages at random; None when it is gone or hides its memory."""
    return ratio_of(sample_pages(proc, pid, page_bytes, choose))


def sample_pages(
    proc: str, pid: int, page_bytes: int, choose: Callable[[int], int] | None = None, most: int = PAGES
) -> list[bytes]:
    """A few resident pages of its largest mapping at random; none when it is gone or hides its memory.

    Only pages that pagemap shows as present are read (Documentation/admin-guide/mm/pagemap.rst), so nothing is
    swapped in for it.
    """
    choose = choose or Dice(pid).below
    mapping = largest_anonymous(read_whole(f"{proc}/{pid}/maps", MAPS_BYTES) or b"")
    if mapping is None or mapping[1] < page_bytes:
        return []
    pages: list[bytes] = []
    try:
        pagemap = os.open(f"{proc}/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        memory = os.open(f"{proc}/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(pagemap)
        return []
    try:
        for _ in range(PROBES):
            page = mapping[0] // page_bytes + choose(mapping[1] // page_bytes)
            entry = os.pread(pagemap, 8, page * 8)
            if len(entry) == 8 and int.from_bytes(entry, "little") & PRESENT:
                pages.append(os.pread(memory, page_bytes, page * page_bytes))
            if len(pages) >= most:
                break
    except (OSError, OverflowError):
        return []
    finally:
        os.close(pagemap)
        os.close(memory)
    return pages
