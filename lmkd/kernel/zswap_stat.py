"""zswap's fill for the resident processes: two lines of /proc/meminfo (Linux 5.19) and the pool's limit."""

from __future__ import annotations

from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import PinnedFile, read_once
from lmkd.model import StoreSample

SAFE_PCT = 85
"""Share of the kernel's limit that the store may take: applications are ended at it, never at the limit itself."""


def parse_percent(text: bytes | None) -> int | None:
    """max_pool_percent; None when it cannot be read."""
    word = (text or b"").strip()
    return int(word) if word.isdigit() and len(word) < 10 else None


def zswap_sample(meminfo: bytes, percent: int | None) -> StoreSample | None:
    """The store as the kernel counts it; None where meminfo does not tell.

    ``percent`` is of MemTotal, as mm/zswap.c takes it. How many bytes the pages of the pool hold is not told: what
    they occupy stands for it.
    """
    used_kib, orig_kib = find_number(meminfo, b"Zswap:"), find_number(meminfo, b"Zswapped:")
    total_kib = find_number(meminfo, b"MemTotal:")
    if used_kib is None or orig_kib is None or total_kib is None:
        return None
    full_kib = 0 if percent is None else total_kib * min(percent, 100) // 100
    return StoreSample(orig_kib, used_kib, used_kib, full_kib * SAFE_PCT // 100, full_kib=full_kib)


class ZswapStat:
    """Keeps the file of the limit open: somebody may change it at any time."""

    def __init__(self, proc: str, limit: str) -> None:
        self._proc = proc
        self._limit = PinnedFile(limit)

    def sample(self, meminfo: bytes = b"") -> StoreSample | None:
        """The store now; None when the kernel does not tell. ``meminfo``: /proc/meminfo if it was read already."""
        meminfo = meminfo or read_once(f"{self._proc}/meminfo") or b""
        return zswap_sample(meminfo, parse_percent(self._limit.read()))

    def close(self) -> None:
        """Let go of the file."""
        self._limit.close()
