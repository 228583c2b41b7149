"""The compressed store as the guard sees it: zswap, or every zram device in use as swap, as one sample."""

from __future__ import annotations

from lmkd.kernel.pinned import PinnedFile, read_once
from lmkd.kernel.zram_stat import parse_mm_stat
from lmkd.model import StoreSample
from lmkd.policy.devices import combined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.kernel.zswap_stat import ZswapStat
    from lmkd.plan import Plan

    Told = Callable[[int], tuple[int, tuple[int, ...], int] | None]

OWN_NONE = -1


def number_of(stat_path: str) -> int:
    """The number in ``/sys/block/zram3/mm_stat``; -1 for another path."""
    digits = stat_path.rpartition("/zram")[2].removesuffix("/mm_stat")
    return int(digits) if digits.isdigit() else OWN_NONE


class Stores:
    """Keeps the devices' files open, those that the helper found last; before that the one of the plan.

    ``told`` takes the generation that is known and gives (generation, device numbers by swap priority, lmkd's own or
    -1), or None when there is none newer.
    ``busy`` is whether the helper is at work on a device: the kernel then holds a lock that a write of mem_limit, and
    on newer kernels any reading, would wait for (zram_drv.c, init_lock).
    """

    def __init__(self, plan: Plan, told: Told | None = None, busy: Callable[[], bool] | None = None) -> None:
        self._block = plan.sys_block
        self._page_kib = plan.page_kib
        self._told = told
        self._busy = busy
        self._generation = 0
        self._last: StoreSample | None = None
        self._files: list[tuple[int, PinnedFile, int]] = []
        self._own = OWN_NONE
        self._zswap: ZswapStat | None = None
        if plan.zswap_limit:
            from lmkd.kernel.zswap_stat import ZswapStat  # memory that only this kind of store pays for

            self._zswap = ZswapStat(plan.proc, plan.zswap_limit)
        self.own_max_kib = plan.settings.store_limit_max_kib
        number = number_of(plan.zram_stat)
        if number != OWN_NONE:
            self._open((number,), number if plan.store_own else OWN_NONE)

    @property
    def limit_path(self) -> str:
        """mem_limit of lmkd's own device; empty while there is none or the helper is at work on it."""
        if self._own == OWN_NONE or (self._busy is not None and self._busy()):
            return ""
        return f"{self._block}/zram{self._own}/mem_limit"

    def sample(self, meminfo: bytes = b"") -> StoreSample | None:
        """What all of them hold now; None for no device. While the helper is at work, what was last seen.

        ``meminfo`` is /proc/meminfo, where it was read already.
        """
        if self._zswap is not None:
            return self._zswap.sample(meminfo)
        if self._told is not None:
            news = self._told(self._generation)
            if news is not None:
                self._generation = news[0]
                self._open(*news[1:])
        if self._busy is not None and self._busy() and self._last is not None:
            return self._last
        devices: list[tuple[StoreSample, int]] = []
        own = OWN_NONE
        for number, file, size_kib in self._files:
            data = file.read()
            stat = parse_mm_stat(data, self._page_kib) if data else None
            if stat is None:
                continue
            if number == self._own:
                own = len(devices)
            devices.append((stat, size_kib))
        self._last = combined(devices, own, self.own_max_kib)
        return self._last

    def _open(self, numbers: tuple[int, ...], own: int) -> None:
        for _, file, _ in self._files:
            file.close()
        self._own = own
        self._last = None
        self._files = []
        for number in numbers:
            folder = f"{self._block}/zram{number}"
            size = (read_once(f"{folder}/disksize") or b"").strip()
            size_kib = int(size) // 1024 if size.isdigit() else 0
            self._files.append((number, PinnedFile(f"{folder}/mm_stat"), size_kib))
