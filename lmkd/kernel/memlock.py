"""Locking one's own memory, so that the guard never waits for a page of its own (mlockall(2))."""

from __future__ import annotations

import os
import struct

from lmkd.kernel.syscalls import Libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
MADV_NORMAL, MADV_RANDOM, MADV_DONTNEED = 0, 1, 4
PIECE_PAGES = 2
"""With one, 400 KiB less; but a page beside one in use is often that of its error path, which nothing rehearses."""
PAGEMAP_PRESENT, PAGEMAP_FILE, PAGEMAP_EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56


def lock_memory(libc: Libc) -> None:
    """Lock what is resident and what will be touched, not what is only mapped (ONFAULT, Linux 4.4). OSError."""
    libc.call("mlockall", MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)


def clean_mappings(smaps: Iterable[bytes]) -> list[tuple[int, int]]:
    """(start, bytes) of the file mappings in /proc/self/smaps that may not be written to and have no changed page.

    A mapping with a changed, hence anonymous, page (relocations that were made read-only afterwards) would lose it.
    """
    found = []
    current: tuple[int, int] | None = None
    for line in smaps:
        fields = line.split()
        if len(fields) >= 5 and b"-" in fields[0] and not fields[0].endswith(b":"):
            start, _, end = fields[0].partition(b"-")
            readable = fields[1][:2] == b"r-" and fields[4] != b"0"
            current = (int(start, 16), int(end, 16) - int(start, 16)) if readable else None
        elif current is not None and fields[:2] == [b"Anonymous:", b"0"]:
            found.append(current)
            current = None
    return found


def forget_clean_pages(libc: Libc, proc: str, page_bytes: int) -> list[tuple[int, int]]:
    """Unmap code and constants that only the start needed: what is used again comes back by a minor fault.

    MADV_DONTNEED on a private file mapping drops the mapped pages and nothing else (madvise(2)); where the kernel
    refuses, or shows no smaps, all stays as it is. Returns the mappings, (start, bytes), for ``join_pages``.

    A fault brings back all pages around it that are in the page cache, but only within one mapping (do_fault_around
    in mm/memory.c, 64 KiB). So every other piece of two pages gets other advice, which makes a mapping of each, until
    what is needed is there: 1.6 MB less stay locked in the two processes (armhf, Python 3.11).
    """
    try:
        with open(f"{proc}/self/smaps", "rb") as file:
            mappings = clean_mappings(file)  # line by line: the whole text would stay behind as holes in the heap
    except OSError:
        return []
    piece = PIECE_PAGES * page_bytes
    for start, length in mappings:
        try:
            for at in range(start + piece, start + length, 2 * piece):
                libc.call("madvise", at, min(piece, start + length - at), MADV_RANDOM)
        except OSError:
            pass  # too many mappings: the pages beyond come back in larger pieces
        try:
            libc.call("madvise", start, length, MADV_DONTNEED)
        except OSError:
            continue
    return mappings


def trim_heap(libc: Libc) -> None:
    """Give back the whole pages in the heap that hold nothing: what loading modules has left (malloc_trim(3))."""
    try:
        libc.call("malloc_trim", 0)
    except AttributeError:
        return  # a C library without it


def join_pages(libc: Libc, mappings: list[tuple[int, int]], piece_bytes: int = 0) -> None:
    """Make whole again what ``forget_clean_pages`` took apart: each mapping costs the kernel 100 bytes.

    With ``piece_bytes`` in pieces of that size.
    """
    for start, length in mappings:
        try:
            libc.call("madvise", start, length, MADV_NORMAL)
            if piece_bytes:
                for at in range(start + piece_bytes, start + length, 2 * piece_bytes):
                    libc.call("madvise", at, min(piece_bytes, start + length - at), MADV_RANDOM)
        except OSError:
            continue


def writable_mappings(maps: Iterable[bytes]) -> list[tuple[int, int]]:
    """(start, bytes) of the private anonymous mappings in /proc/self/maps that may be written to: heap and stack.

    The interpreter's static data is left out: half a megabyte, of which only a few pages change once it runs.
    """
    found = []
    for line in maps:
        fields = line.split()
        if len(fields) >= 5 and fields[1] == b"rw-p" and fields[4] == b"0":
            start, _, end = fields[0].partition(b"-")
            found.append((int(start, 16), int(end, 16) - int(start, 16)))
    return found


def shared_runs(entries: bytes, start: int, page_bytes: int) -> list[tuple[int, int]]:
    """(start, bytes) of the runs of resident anonymous pages that others map as well, in a piece of pagemap.

    Pages of a file that were never written to are left out: a copy of these would only cost memory.
    Source: Documentation/admin-guide/mm/pagemap.rst (bit 56 from Linux 4.2).
    """
    runs: list[tuple[int, int]] = []
    for index, (entry,) in enumerate(struct.iter_unpack("=Q", entries)):
        if entry & (PAGEMAP_PRESENT | PAGEMAP_FILE | PAGEMAP_EXCLUSIVE) != PAGEMAP_PRESENT:
            continue
        at = start + index * page_bytes
        if runs and sum(runs[-1]) == at:
            runs[-1] = (runs[-1][0], runs[-1][1] + page_bytes)
        else:
            runs.append((at, page_bytes))
    return runs


def own_pages(libc: Libc, proc: str, page_bytes: int) -> None:
    """Get a copy of our own of every page still shared with a process that we forked, before memory is short.

    A locked page that is shared copy-on-write is copied at the next write to it, and that copy waits in the kernel's
    reclaim like any other (measured: the guard stood still for 1.5 s). mlock(2) without ONFAULT makes the copies now.
    """
    try:
        with open(f"{proc}/self/maps", "rb") as file:
            mappings = writable_mappings(file)
        descriptor = os.open(f"{proc}/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for start, length in mappings:
            entries = os.pread(descriptor, length // page_bytes * 8, start // page_bytes * 8)
            for run_start, run_length in shared_runs(entries, start, page_bytes):
                libc.call("mlock", run_start, run_length)
    except OSError:
        return  # not permitted to lock: then lock_memory fails as well, and says so
    finally:
        os.close(descriptor)
