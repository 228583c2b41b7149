"""Pressure stall information: totals, and triggers that wake a poll (Documentation/accounting/psi.rst)."""

from __future__ import annotations

import os

from lmkd.values import value

MEMORY = "pressure/memory"
WINDOW_MIN_US, WINDOW_MAX_US = 500_000, 10_000_000


@value
class Psi:
    """Total stall time since boot, in microseconds: of some task, and of all tasks at once."""

    some_us: int
    full_us: int


def parse_psi(data: bytes) -> Psi | None:
    """Bytes of /proc/pressure/memory; None when a line or its total is missing or cut off (never a zero instead)."""
    totals: dict[bytes, int] = {}
    for line in data.split(b"\n")[:-1]:
        kind, _, rest = line.partition(b" ")
        text = rest.rpartition(b"total=")[2]
        if kind in (b"some", b"full") and b"total=" in rest and text.strip().isdigit():
            totals[kind] = int(text)
    if len(totals) < 2:
        return None
    return Psi(totals[b"some"], totals[b"full"])


def open_trigger(path: str, kind: str, stall_us: int, window_us: int) -> int:
    """A descriptor that polls POLLPRI when ``kind`` (some, full) stalls exceed ``stall_us`` within the window.

    One trigger a descriptor; POLLERR means that it is gone. OSError: no PSI (boot with psi=1), EINVAL for a window
    outside 0.5 s to 10 s, EPERM or EACCES without the right to write.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(descriptor, b"%s %d %d\0" % (kind.encode(), stall_us, window_us))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
