"""Writing idle and incompressible pages out of the store, and recompressing them, when there is nothing else to do.

The kernel takes no more than writeback_limit says (4 KiB each), so a slice is one write to ``writeback`` with a small
limit: between two of them commands are obeyed. Source: Documentation/admin-guide/blockdev/zram.rst (writeback 4.14,
limit 4.20, recompression 6.2); idle by age needs CONFIG_ZRAM_MEMORY_TRACKING, and without it all pages are marked and
those written out that still are when their time is up.
"""

from __future__ import annotations

import errno
import os

from lmkd.helper.flash_account import FlashAccount
from lmkd.kernel.clock import now_ms
from lmkd.kernel.pinned import read_once
from lmkd.kernel.zram_stat import parse_mm_stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.plan import Writeback

UNIT_KIB = 4
SLICE_KIB = 2048
PASS_KIB = 16384
"""Charged to the day's account for one round: what a crash in the middle of it loses of the budget."""
DUTY = 4.0
"""So many times as long as a slice took the next one waits."""


def write_attribute(path: str, text: bytes) -> int:
    """Write a sysfs attribute; 0, or the errno of the kernel's refusal."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


class Tender:
    """Owns the round at hand: its stages, and what of the day's budget it was given."""

    def __init__(
        self,
        allowed: Writeback,
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
        busy: Callable[[bool], None],
        account: FlashAccount | None = None,
        clock: Callable[[], float] = now_ms,
    ) -> None:
        """``busy`` is told before and after the kernel works on the device."""
        self._allowed = allowed
        self._report = report
        self._busy = busy
        self._account = account or FlashAccount(allowed.folders, allowed.daily_kib)
        self._clock = clock
        self._stages: list[str] = []
        self._folder = ""
        self._marked_ms = -1.0
        self._due_ms = 0.0
        self._given_kib = 0
        self._done: dict[str, int] = {}
        self._failed: set[str] = set()

    @property
    def pending(self) -> bool:
        """Is there a slice to go on with?"""
        return bool(self._stages)

    def timeout_ms(self) -> float | None:
        """How long the loop may wait until the next slice; None: for ever."""
        return max(0.0, self._due_ms - self._clock()) if self._stages else None

    def begin(self, folder: str) -> None:
        """A round over this device's sysfs folder; one that goes on already goes on."""
        if self._stages or not folder:
            return
        self._folder = folder
        idle = (self._allowed.idle or bool(self._allowed.recompress)) and self._mark()
        modes = (("huge", self._allowed.huge), ("idle", self._allowed.idle and idle))
        writes = [mode for mode, wanted in modes if wanted]
        if writes:
            self._given_kib = min(PASS_KIB, self._account.left_kib())
            if self._given_kib < UNIT_KIB:
                writes = []
            else:
                self._account.charge(self._given_kib)
        self._stages = [*writes, *(["recompress"] if self._allowed.recompress and idle else [])]
        self._due_ms = self._clock()

    def stop(self) -> None:
        """End the round here: the pages that are left wait for the next one."""
        if self._stages:
            self._end_stage(self._stages[0], 0)
            self._stages = []
        self._settle()

    def turn(self) -> None:
        """One slice, if it is time."""
        if not self._stages or self._clock() < self._due_ms:
            return
        began_ms = self._clock()
        stage = self._stages[0]
        ended = self._recompress() if stage == "recompress" else self._write_out(stage)
        if ended:
            self._stages.pop(0)
            if not self._stages:
                self._settle()
        self._due_ms = self._clock() + DUTY * (self._clock() - began_ms)

    def _mark(self) -> bool:
        """Mark idle pages; False while it is not known yet which are idle."""
        age_s = self._allowed.idle_s
        if not write_attribute(f"{self._folder}/idle", b"%d" % age_s):
            return True
        now_ms = self._clock()
        if self._marked_ms >= 0 and now_ms - self._marked_ms < age_s * 1000:
            return False
        known = self._marked_ms >= 0
        if not known:
            self._marked_ms = now_ms if not write_attribute(f"{self._folder}/idle", b"all") else -1.0
        return known

    def _write_out(self, mode: str) -> bool:
        """A slice; True when nothing is left that it could write, or that it may."""
        slice_kib = min(SLICE_KIB, self._given_kib)
        before = self._written_kib()
        began_ms = self._clock()
        self._busy(True)
        failed = (
            write_attribute(f"{self._folder}/writeback_limit", b"%d" % (slice_kib // UNIT_KIB))
            or write_attribute(f"{self._folder}/writeback_limit_enable", b"1")
            or write_attribute(f"{self._folder}/writeback", mode.encode())
        )
        write_attribute(f"{self._folder}/writeback_limit", b"0")
        self._busy(False)
        written = max(0, self._written_kib() - before)
        self._given_kib -= min(self._given_kib, written)
        for name, amount in (("kib", written), ("ms", int(self._clock() - began_ms))):
            self._done[name] = self._done.get(name, 0) + amount
        spent = failed == errno.EIO and written >= slice_kib  # the kernel's word for a limit that is used up
        if failed and not spent:
            self._end_stage(mode, failed)
            return True
        if written >= slice_kib and self._given_kib >= UNIT_KIB:
            return False
        self._end_stage(mode, 0)
        return True

    def _end_stage(self, mode: str, failed: int) -> None:
        if mode == "recompress":
            return
        done, self._done = self._done, {}
        if mode == "idle" and self._marked_ms >= 0:
            self._marked_ms = -1.0
        name = errno.errorcode.get(failed, str(failed)) if failed else None
        if done.get("kib") or (failed and mode not in self._failed):
            fields = (
                ("mode", mode),
                ("pages", done.get("kib", 0) // UNIT_KIB),
                ("bytes", done.get("kib", 0) << 10),
                ("ms", done.get("ms", 0)),
                ("left_today_kib", self._account.left_kib() + self._given_kib),
                ("failed", name),
            )
            self._report("writeback", fields, "warning" if failed else "info")
        if failed:
            self._failed.add(mode)

    def _settle(self) -> None:
        if self._given_kib:
            self._account.charge(-self._given_kib)
            self._given_kib = 0

    def _recompress(self) -> bool:
        before = parse_mm_stat(read_once(f"{self._folder}/mm_stat") or b"")
        began_ms = self._clock()
        self._busy(True)
        failed = write_attribute(f"{self._folder}/recompress", b"type=idle algo=" + self._allowed.recompress.encode())
        self._busy(False)
        after = parse_mm_stat(read_once(f"{self._folder}/mm_stat") or b"")
        if failed and "recompress" not in self._failed:
            self._failed.add("recompress")
            fields = (("feature", "store.recompress"), ("cost", f"not done: {os.strerror(failed)}"))
            self._report("degraded", fields, "warning")
        elif not failed and before is not None and after is not None and before.compressed_kib > after.compressed_kib:
            numbers = (
                ("algorithm", self._allowed.recompress),
                ("compressed_kib", before.compressed_kib - after.compressed_kib),
                ("returned_kib", before.used_kib - after.used_kib),
                ("ms", round(self._clock() - began_ms, 1)),
            )
            self._report("recompress", numbers, "info")
        return True

    def _written_kib(self) -> int:
        """bd_writes, the third column of bd_stat, in units of 4 KiB."""
        words = (read_once(f"{self._folder}/bd_stat") or b"").split()
        return int(words[2]) * UNIT_KIB if len(words) >= 3 and words[2].isdigit() else 0
