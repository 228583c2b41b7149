"""Owns what a trial does to the system beside what the store does: pages to a scratch device, time, memory, modules."""

from __future__ import annotations

import time

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import zram
from lmkd.kernel.counters import find_number
from lmkd.kernel.direct_io import DirectDevice
from lmkd.kernel.files import read_bytes, read_text_or_none
from lmkd.kernel.modules import unload
from lmkd.store.effects import KernelEffects
from lmkd.store.fit import read_memory

MODULES = frozenset(
    ("842", "842_compress", "842_decompress", "deflate", "lz4", "lz4_compress", "lz4hc", "lz4hc_compress", "lzo",
     "lzo_rle", "lzo_compress", "zstd", "zstd_compress")
)  # fmt: skip
"""What the kernel loads when an algorithm is chosen, and nothing else does on a board: some 300 KiB for zstd."""
_TRIES = 3


class TrialEffects(KernelEffects):
    """The port of a trial, and the kernel's side of it."""

    def open(self, number: int) -> DirectDevice:
        """The scratch device, for whole pages."""
        return DirectDevice(zram.node(self._roots, number))

    def cpu_us(self) -> float:
        """Processor time of this thread so far: zram compresses and expands in the thread that writes and reads."""
        return time.clock_gettime_ns(time.CLOCK_THREAD_CPUTIME_ID) / 1000

    def vmalloc_kib(self) -> int | None:
        """VmallocUsed: an algorithm's work area, its module and the device's table are in it (Linux 5.3)."""
        return find_number(read_bytes(self._roots.proc / "meminfo"), b"VmallocUsed:")

    def available_kib(self) -> int:
        """MemAvailable now."""
        return read_memory(self._roots).available_kib

    def modules(self) -> frozenset[str]:
        """The modules of compression algorithms that are loaded."""
        text = read_text_or_none(self._roots.proc / "modules") or ""
        return MODULES.intersection(line.split(" ", 1)[0] for line in text.splitlines())

    def unload_all_but(self, kept: frozenset[str]) -> None:
        """Let go of modules that only the trial needed; one that is in use stays. They unlock each other in turn."""
        for _ in range(_TRIES):
            for name in self.modules() - kept:
                try:
                    unload(name)
                except KernelInterfaceError:
                    continue
