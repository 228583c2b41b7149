"""Compacting the store after deaths: zsmalloc gives pages back only when whole ones are empty (mm/zsmalloc.c)."""

from __future__ import annotations

import os

from lmkd.kernel.clock import now_ms
from lmkd.kernel.pinned import read_once
from lmkd.kernel.zram_stat import parse_mm_stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SLACK_MIN_KIB, SLACK_PCT = 1024, 10
"""What the store takes above the bytes it holds; its own bookkeeping is a few percent at best."""
YIELD_PCT = 20
REST_MS, REST_MAX_MS = 2000.0, 300_000.0
"""A compaction that returned less than ``YIELD_PCT`` of the slack is not tried again so soon, then twice as long."""


class Compactor:
    """Owns the pause between compactions. ``stat_path`` is the device's mm_stat; "" for no zram."""

    def __init__(
        self,
        stat_path: str,
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
        clock: Callable[[], float] = now_ms,
    ) -> None:
        self._stat = stat_path
        self._report = report
        self._clock = clock
        self._rest_ms = REST_MS
        self._due_ms = 0.0

    def turn_to(self, stat_path: str) -> None:
        """Compact another device from here on; what was learned of the last one does not hold for it."""
        if stat_path != self._stat:
            self._stat, self._rest_ms, self._due_ms = stat_path, REST_MS, 0.0

    def compact(self) -> None:
        """Compact if the slack says so and the last one paid; the record tells what came back."""
        began_ms = self._clock()
        before = parse_mm_stat(read_once(self._stat) or b"") if self._stat else None
        if before is None or began_ms < self._due_ms:
            return
        slack = before.used_kib - before.compressed_kib
        if slack < max(SLACK_MIN_KIB, before.used_kib * SLACK_PCT // 100):
            return
        try:
            descriptor = os.open(self._stat.rpartition("/")[0] + "/compact", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.write(descriptor, b"1")
        except OSError:
            return
        finally:
            os.close(descriptor)
        after = parse_mm_stat(read_once(self._stat) or b"")
        returned = before.used_kib - after.used_kib if after is not None else 0
        ended_ms = self._clock()
        paid = returned * 100 >= slack * YIELD_PCT
        self._rest_ms = REST_MS if paid else min(REST_MAX_MS, 2 * self._rest_ms)
        self._due_ms = ended_ms + self._rest_ms
        fields = (("slack_kib", slack), ("returned_kib", returned), ("ms", round(ended_ms - began_ms, 1)))
        self._report("compact", fields, "info")
