"""The swap that there is, whoever set it up and whenever: noticed, told to the guard, and recorded when it changes."""

from __future__ import annotations

import os

from lmkd.guard.exchange import STORES_MAX
from lmkd.kernel.pinned import read_once
from lmkd.kernel.swap_list import has_label, open_swap_list, parse_swap_list, read_swap_list
from lmkd.kernel.zram_stat import parse_mm_stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.kernel.swap_list import SwapDevice
    from lmkd.plan import Plan

LABEL = "lmkd"
SHARE_DEFAULT = 0.4
SHARE_MIN_KIB = 1024


class SwapWatch:
    """Owns /proc/swaps. ``tell`` takes (zram numbers by priority, lmkd's own or -1)."""

    def __init__(
        self,
        plan: Plan,
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
        tell: Callable[[tuple[int, ...], int], None] | None = None,
    ) -> None:
        self._block = plan.sys_block
        self._dev = plan.dev
        self._report = report
        self._tell = tell
        self._devices: tuple[SwapDevice, ...] = ()
        self.descriptor = open_swap_list(plan.proc)
        self.own = -1
        self.look(first=True)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The zram devices in use as swap, by priority."""
        return tuple(number for _, number, _, _ in self._devices if number >= 0)[:STORES_MAX]

    def look(self, first: bool = False) -> None:
        """See what there is now; a change since the last look is recorded."""
        data = read_swap_list(self.descriptor) if self.descriptor >= 0 else b""
        if not data:
            return
        before, self._devices = self._devices, parse_swap_list(data)
        self.own = next((one for one in self.numbers if has_label(f"{self._dev}/zram{one}", LABEL)), -1)
        if self._tell is not None:
            self._tell(self.numbers, self.own)
        old, new = _names(before), _names(self._devices)
        if first or old == new:
            return
        disk_kib = sum(size_kib for _, number, size_kib, _ in self._devices if number < 0)
        fields = (
            ("appeared", tuple(name for name in new if name not in old)),
            ("gone", tuple(name for name in old if name not in new)),
            ("swaps", new),
            ("own", f"zram{self.own}" if self.own >= 0 else None),
            ("disk_kib", disk_kib),
        )
        self._report("store_changed", fields, "info")

    def share(self) -> float:
        """What a swapped page occupies: used over stored of all zram devices, by their own count."""
        orig = used = 0
        for number in self.numbers:
            stat = parse_mm_stat(read_once(f"{self._block}/zram{number}/mm_stat") or b"")
            if stat is not None:
                orig, used = orig + stat.orig_kib, used + stat.used_kib
        return share_of(orig, used)

    def close(self) -> None:
        """Let go of the list."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def share_of(orig_kib: int, used_kib: int) -> float:
    """What a stored page occupies, by what the store holds; a usual figure while that is too little to tell."""
    return min(1.0, used_kib / orig_kib) if orig_kib >= SHARE_MIN_KIB else SHARE_DEFAULT


def _names(devices: tuple[SwapDevice, ...]) -> tuple[str, ...]:
    return tuple(f"{name} {priority}" for name, _, _, priority in devices)
