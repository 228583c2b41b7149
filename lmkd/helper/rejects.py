"""An alarm when zswap refuses pages: they stay in memory, and reclaim takes them up again and again for nothing."""

from __future__ import annotations

from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once, read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

COUNTERS = ("pool_limit_hit", "reject_alloc_fail", "reject_compress_poor", "reject_compress_fail")
"""Of debugfs (mm/zswap.c): the pool was full, no memory for it, and pages that do not compress.

Before 6.7 lz4's refusal of a page counts nowhere; but what zswap refuses is written to the device, and that shows in
/proc/vmstat as pswpout, with debugfs or without.
"""
WRITES = "pswpout"
VMSTAT_BYTES = 32768
EVERY_MS = 10_000.0


class Rejects:
    """Owns the counters as they were. ``folder`` is zswap's in debugfs, ``vmstat`` the file; "": that is not read."""

    def __init__(
        self, folder: str, vmstat: str, report: Callable[[str, tuple[tuple[str, object], ...], str], None]
    ) -> None:
        self._folder = folder
        self._vmstat = vmstat
        self._report = report
        self._seen = self._read()
        self._due_ms = 0.0
        self._again = False
        """What is refused right after a look is told by one more, also when all is calm by then."""

    def wait_ms(self, t_ms: float) -> float | None:
        """How long until ``turn`` has to look once more; None: not at all."""
        return max(0.0, self._due_ms - t_ms) if self._again else None

    def turn(self, t_ms: float) -> None:
        """One more look, if it is time; another follows only while something is refused."""
        if self._again and t_ms >= self._due_ms:
            self._again = self._tell(t_ms)

    def look(self, t_ms: float) -> None:
        """Record by how much the counters have grown; not more often than ``EVERY_MS``."""
        if not self._seen:
            return
        self._again = True
        if t_ms >= self._due_ms:
            self._tell(t_ms)

    def _tell(self, t_ms: float) -> bool:
        self._due_ms = t_ms + EVERY_MS
        now = self._read()
        grown = tuple((name, now[name] - old) for name, old in self._seen.items() if now.get(name, 0) > old)
        self._seen = now
        if grown:
            self._report("store_rejects", grown, "warning")
        return bool(grown)

    def _read(self) -> dict[str, int]:
        found = {}
        for name in COUNTERS if self._folder else ():
            text = read_once(f"{self._folder}/{name}")
            if text is not None and text.strip().isdigit():
                found[name] = int(text)
        data = read_whole(self._vmstat, VMSTAT_BYTES) if self._vmstat else None
        writes = find_number(data or b"", WRITES.encode() + b" ")
        return found if writes is None else {**found, WRITES: writes}
