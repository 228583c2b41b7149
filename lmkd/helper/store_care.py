"""Care of the store: notices what becomes of it, compacts it, and in calm writes back and recompresses."""

from __future__ import annotations

import select

from lmkd.helper.compactor import Compactor
from lmkd.helper.gain import PAIRING
from lmkd.helper.stores import SwapWatch, share_of
from lmkd.kernel.clock import now_ms
from lmkd.kernel.pinned import read_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmkd.guard.exchange import Exchange
    from lmkd.helper.rejects import Rejects
    from lmkd.helper.tender import Tender
    from lmkd.kernel.zswap_stat import ZswapStat
    from lmkd.plan import Plan

ZSWAP_COUNTERS = "/sys/kernel/debug/zswap"


def _nothing(busy: bool) -> None:
    return


class StoreCare:
    """Owns the watch, the compactor, and the tender where there is anything to write. A dry run only watches."""

    def __init__(
        self,
        plan: Plan,
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
        exchange: Exchange | None = None,
    ) -> None:
        self._block = plan.sys_block
        self._poll: select.poll | None = None
        self._busy = exchange.set_store_busy if exchange is not None else _nothing
        self._zswap: ZswapStat | None = None
        self.packs = True
        """What compresses better takes less; in a pool that pairs pages it takes half of one."""
        self._rejects: Rejects | None = None
        if plan.zswap_limit:
            from lmkd.helper.rejects import Rejects  # as the tender below: only this kind of store pays for them
            from lmkd.kernel.zswap_stat import ZswapStat

            self._zswap = ZswapStat(plan.proc, plan.zswap_limit)
            pool = read_once(plan.zswap_limit.rpartition("/")[0] + "/zpool") or b""  # gone in Linux 6.18
            self.packs = pool.strip() != PAIRING
            self._rejects = Rejects(ZSWAP_COUNTERS, f"{plan.proc}/vmstat", report)
        self._swaps = SwapWatch(plan, report, exchange.set_stores if exchange is not None else None)
        self._compactor = Compactor(plan.zram_stat, report)
        self._tender: Tender | None = None
        if plan.writeback is not None and not plan.dry_run:
            from lmkd.helper.tender import Tender  # memory that only who writes back pays for

            self._tender = Tender(plan.writeback, report, self._busy)

    def watch(self, poll: select.poll) -> None:
        """Wake the loop when swap comes or goes; an error is the kernel's word for it."""
        self._poll = poll
        if self._swaps.descriptor >= 0:
            poll.register(self._swaps.descriptor, select.POLLPRI)

    def notice(self, ready: Mapping[int, int]) -> None:
        """Look at the swap that there is, if that is what woke the loop."""
        if self._swaps.descriptor not in ready:
            return
        self._swaps.look()
        if self._zswap is not None:
            return  # what is behind it holds nothing
        number = self._swaps.own if self._swaps.own >= 0 else next(iter(self._swaps.numbers), -1)
        self._compactor.turn_to(f"{self._block}/zram{number}/mm_stat" if number >= 0 else "")
        if self._tender is not None and self._swaps.own < 0:
            self._tender.stop()

    def share(self) -> float:
        """What a swapped page occupies."""
        stat = self._zswap.sample() if self._zswap is not None else None
        return self._swaps.share() if stat is None else share_of(stat.orig_kib, stat.used_kib)

    def algorithm(self) -> str:
        """The compression algorithm of lmkd's own zram; empty where that cannot be read."""
        data = read_once(f"{self._block}/zram{self._swaps.own}/comp_algorithm") or b""
        return data.partition(b"[")[2].partition(b"]")[0].decode("ascii", "replace")

    def look(self, t_ms: float) -> None:
        """All were just looked at: is anything refused?"""
        if self._rejects is not None:
            self._rejects.look(t_ms)

    def compact(self) -> None:
        """Compact the store, if that pays."""
        self._busy(True)
        self._compactor.compact()
        self._busy(False)

    def tend(self, on: bool) -> None:
        """Begin a round of writing back on lmkd's own device, or end it."""
        if self._tender is None:
            return
        if on and self._swaps.own >= 0:
            self._tender.begin(f"{self._block}/zram{self._swaps.own}")
        elif not on:
            self._tender.stop()

    def timeout_ms(self) -> float | None:
        """How long the loop may wait until the next slice; None: for ever."""
        if self._rejects is not None:
            return self._rejects.wait_ms(now_ms())  # there is no tender then: a zswap store writes nothing back
        return self._tender.timeout_ms() if self._tender is not None else None

    def turn(self) -> None:
        """One slice, if it is time."""
        if self._rejects is not None:
            self._rejects.turn(now_ms())
        if self._tender is not None:
            self._tender.turn()

    def close(self) -> None:
        """End the round: the day's account is settled."""
        if self._tender is not None:
            self._tender.stop()
        if self._poll is not None and self._swaps.descriptor >= 0:
            self._poll.unregister(self._swaps.descriptor)
        self._swaps.close()
        if self._zswap is not None:
            self._zswap.close()
