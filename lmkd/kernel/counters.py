"""One way to take numbers out of the kernel's "Name: value" and "name value" files, for meminfo, vmstat and status."""

from __future__ import annotations


def find_number(data: bytes, key: bytes) -> int | None:
    """The integer after ``key`` at the start of a line (``key`` has its separator, as ``b"MemFree:"``); None if absent.

    A key whose value is cut off or odd counts as absent: the caller must not take it for zero.
    """
    if data.startswith(key):
        start = 0
    else:
        start = data.find(b"\n" + key) + 1
        if start == 0:
            return None
    end = data.find(b"\n", start)
    if end < 0:
        return None
    fields = data[start + len(key) : end].split(None, 1)
    if not fields or not fields[0].isdigit():
        return None
    return int(fields[0])


def find_sum(data: bytes, *keys: bytes) -> int | None:
    """All of these that are there, added up; None if none is."""
    found = [number for key in keys if (number := find_number(data, key)) is not None]
    return sum(found) if found else None
