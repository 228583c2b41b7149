"""How full the store is, of whichever kind, for the resident processes."""

from __future__ import annotations

from lmkd.kernel.pinned import PinnedFile, read_once
from lmkd.kernel.zram_stat import parse_mm_stat
from lmkd.kernel.zswap_stat import parse_percent, zswap_sample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.model import StoreSample


class StoreFiles:
    """Keeps the kernel files open. ``zram_stat`` and ``zswap_limit`` are paths; both "": there is no store."""

    def __init__(self, proc: str, zram_stat: str, zswap_limit: str) -> None:
        self._proc = proc
        self._zram = PinnedFile(zram_stat) if zram_stat else None
        self._zswap = PinnedFile(zswap_limit) if zswap_limit and not zram_stat else None

    def sample(self, meminfo: bytes = b"") -> StoreSample | None:
        """The store now; None when the kernel does not tell. ``meminfo``: /proc/meminfo if it was read already."""
        if self._zram is not None:
            data = self._zram.read()
            return parse_mm_stat(data) if data else None
        if self._zswap is not None:
            meminfo = meminfo or read_once(f"{self._proc}/meminfo") or b""
            return zswap_sample(meminfo, parse_percent(self._zswap.read()))
        return None
