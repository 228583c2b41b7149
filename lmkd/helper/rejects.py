"""An alarm when zswap refuses pages: they stay in memory, and reclaim takes them up again and again for nothing."""

from __future__ import annotations

import os

from lmkd.kernel.pinned import read_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

COUNTERS = ("pool_limit_hit", "reject_alloc_fail", "reject_compress_poor", "reject_compress_fail")
"""Of debugfs (mm/zswap.c): the pool was full, no memory for it, and pages that do not compress (6.7 counts two)."""
EVERY_MS = 10_000.0


class Rejects:
    """Owns the counters as they were. ``folder`` is zswap's in debugfs; "", or one that cannot be read: no alarm."""

    def __init__(self, folder: str, report: Callable[[str, tuple[tuple[str, object], ...], str], None]) -> None:
        self._folder = folder
        self._report = report
        self._seen = self._read()
        self._due_ms = 0.0

    def look(self, t_ms: float) -> None:
        """Record by how much the counters have grown; not more often than ``EVERY_MS``."""
        if not self._seen or t_ms < self._due_ms:
            return
        self._due_ms = t_ms + EVERY_MS
        now = self._read()
        grown = tuple((name, now[name] - old) for name, old in self._seen.items() if now.get(name, 0) > old)
        self._seen = now
        if grown:
            self._report("store_rejects", grown, "warning")

    def _read(self) -> dict[str, int]:
        if not self._folder:
            return {}
        texts = {name: read_once(os.path.join(self._folder, name)) for name in COUNTERS}
        return {name: int(text) for name, text in texts.items() if text is not None and text.strip().isdigit()}
