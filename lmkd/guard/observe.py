"""Observe: a handful of kernel files and the fault meter become one Sample. Never a scan, never a wait."""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError
from lmkd.guard.stores import Stores
from lmkd.kernel.clock import now_ms
from lmkd.kernel.counters import find_number, find_sum
from lmkd.kernel.meminfo import parse_meminfo
from lmkd.kernel.pinned import PinnedFile
from lmkd.kernel.process import read_sizes
from lmkd.kernel.psi import parse_psi
from lmkd.model import Sample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.held import TmpfsAnswer
    from lmkd.kernel.fault_meter import FaultMeter
    from lmkd.kernel.process import Sizes
    from lmkd.plan import Plan

GROWER_SHARE_MIN = 0.3
"""Below this share of the sampled page faults nobody stands out, and no process file is read."""


def _unknown(pid: int | None) -> float | None:
    return None


def _nobody(t_ms: float) -> tuple[int, float]:
    return 0, 0.0


class Observer:
    """Keeps the kernel files open. ``sample`` raises KernelInterfaceError when /proc/meminfo itself fails."""

    def __init__(
        self,
        plan: Plan,
        meter: FaultMeter | None,
        ratio_of: Callable[[int | None], float | None] = _unknown,
        grower: Callable[[float], tuple[int, float]] = _nobody,
        stores: Stores | None = None,
    ) -> None:
        """``ratio_of`` tells what the helper sampled of a process, ``grower`` who it saw grow, and how fast."""
        self.stores = stores or Stores(plan)
        self._grower = grower
        self._ratio_of = ratio_of
        self._proc = plan.proc
        self._page_kib = plan.page_kib
        self._meter = meter
        self._meminfo = PinnedFile(f"{plan.proc}/meminfo")
        self._vmstat = PinnedFile(f"{plan.proc}/vmstat")
        self._psi = PinnedFile(f"{plan.proc}/pressure/memory")
        # What zswap refuses tells of a kernel that reclaims in vain, which the headroom does not show.
        self._reclaims_kib = plan.settings.watermark_low_kib if plan.zswap_limit else 0
        self._last_ms = now_ms()
        self._suspect = 0
        self._asked: tuple[tuple[int, int], ...] = ()

    def ask_kill(self, pid: int, start_ticks: int) -> None:
        """A kill was asked for: a part of what is observed next."""
        self._asked += ((pid, start_ticks),)

    def _take_asked(self) -> tuple[tuple[int, int], ...]:
        asked, self._asked = self._asked, ()
        return asked

    def sample(self, cause: str, calm: bool, gone: tuple[int, ...] = (), tmpfs: TmpfsAnswer | None = None) -> Sample:
        """What the kernel says now. When all is ``calm`` only what a decision could need first is read."""
        t_ms = now_ms()
        data = self._meminfo.read()
        if not data:
            raise KernelInterfaceError(f"{self._meminfo.path}: cannot be read")
        memory = parse_meminfo(data)
        psi = parse_psi(stall) if (stall := self._psi.read()) else None
        vmstat = self._counters(calm and memory.free_kib >= self._reclaims_kib)
        pid, share, faults_kib_s = self._who_grows(t_ms)
        sizes = self._suspect_sizes(pid, calm)
        return Sample(
            t_ms=t_ms,
            cause=cause,
            free_kib=memory.free_kib,
            file_kib=memory.file_kib,
            dirty_kib=memory.dirty_kib,
            anon_kib=memory.anon_kib,
            shmem_kib=memory.shmem_kib,
            swap_total_kib=memory.swap_total_kib,
            swap_free_kib=memory.swap_free_kib,
            store=self.stores.sample(data),
            some_us=psi.some_us if psi else None,
            full_us=psi.full_us if psi else None,
            refault_anon=find_number(vmstat, b"workingset_refault_anon ") if vmstat else None,
            refault_file=find_number(vmstat, b"workingset_refault_file ") if vmstat else None,
            swapped_in=find_sum(vmstat, b"pswpin ", b"zswpin ") if vmstat else None,
            swapped_out=find_sum(vmstat, b"pswpout ", b"zswpout ") if vmstat else None,
            grower_pid=self._suspect or None,
            grower_share=share,
            grower_kib_s=faults_kib_s,
            grower_resident_kib=sizes.anon_kib if sizes else None,
            grower_swapped_kib=sizes.swapped_kib if sizes else None,
            grower_ratio=self._ratio_of(self._suspect or None),
            tmpfs=tmpfs,
            refused=find_number(vmstat, b"pswpout ") if self._reclaims_kib else None,
            gone=gone,
            asked=self._take_asked(),
        )

    def _counters(self, calm: bool) -> bytes:
        """Formatting vmstat costs the kernel more than all the rest: only when a decision may need it."""
        return b"" if calm else self._vmstat.read() or b""

    def pass_over(self) -> None:
        """Forget the page faults counted since the last sample: they came right after it."""
        if self._meter is not None:
            self._meter.drain()

    def _suspect_sizes(self, pid: int, calm: bool) -> Sizes | None:
        """The sizes of who took most faults; a suspect is looked at until the board is calm, samples or not."""
        suspect = pid or (0 if calm else self._suspect)
        sizes = read_sizes(self._proc, suspect) if suspect else None
        self._suspect = suspect if sizes is not None else 0
        return sizes

    def _who_grows(self, t_ms: float) -> tuple[int, float, float]:
        """(suspect or 0, its share, KiB/s): by the helper's look at all sizes, else by the page faults.

        Where the processor has no mark for a page that was used (ARM), reclaim makes everybody fault.
        """
        pid, share, faults_kib_s = self._faults(t_ms)
        grown, rate_kib_s = self._grower(t_ms)
        return (grown, 1.0, rate_kib_s) if grown and grown != pid else (pid, share, faults_kib_s)

    def _faults(self, t_ms: float) -> tuple[int, float, float]:
        """(process that took most faults or 0, its share, all faults as KiB/s) since the last sample that had any."""
        if self._meter is None:
            return 0, 0.0, 0.0
        faults = self._meter.drain()
        if not faults:
            return 0, 0.0, 0.0
        elapsed = max(1.0, t_ms - self._last_ms)
        self._last_ms = t_ms
        total = sum(faults.values())
        pid, most = max(faults.items(), key=_count)
        share = most / total
        if share < GROWER_SHARE_MIN:
            return 0, 0.0, 0.0
        return pid, share, total * self._page_kib / elapsed * 1000


def _count(item: tuple[int, int]) -> int:
    return item[1]
