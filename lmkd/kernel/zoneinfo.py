"""Watermarks of all zones from /proc/zoneinfo: where the kernel begins to reclaim, and where it begins to stall."""

from __future__ import annotations

from lmkd.values import value


@value
class Watermarks:
    """Sums over all populated zones, in pages."""

    min_pages: int
    low_pages: int
    high_pages: int


def parse_zoneinfo(data: str) -> Watermarks | None:
    """Text of /proc/zoneinfo; None when no zone with managed pages is found.

    Zones without managed pages are left out: their watermarks bound nothing.
    """
    sums = [0, 0, 0]
    found = False
    for block in data.split("\nNode "):
        numbers: dict[str, int] = {}
        for line in block.split("\n"):
            fields = line.split()
            if len(fields) == 2 and fields[0] in ("min", "low", "high", "managed") and fields[1].isdigit():
                numbers.setdefault(fields[0], int(fields[1]))
        if numbers.get("managed", 0) > 0 and {"min", "low", "high"} <= numbers.keys():
            found = True
            sums = [sums[0] + numbers["min"], sums[1] + numbers["low"], sums[2] + numbers["high"]]
    return Watermarks(*sums) if found else None
