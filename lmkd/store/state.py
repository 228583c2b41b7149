"""Owns what crosses the store's border: what is wanted (StoreSpec) and what is there (StoreState)."""

from __future__ import annotations

from lmkd.kernel.sysctl import LRU_GEN, MIN_TTL
from lmkd.store.choice import auto_size_kib
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.config import Config

    Report = Callable[[str, dict[str, object]], None]
    Sysctls = tuple[tuple[str, int], ...]

AUTO = "auto"
# Measured on the board (256 MB, foreground with a 7 MB mapped file, an application growing 30 MB/s): with
# swappiness 150 and the two-list LRU the foreground's file pages were dropped and read back from flash, worst gap 57
# ms; with 200, 24 ms to 43 ms; with MGLRU as well no file page of it was refaulted, 24 ms.
DEFAULT_SYSCTLS: Sysctls = (
    ("vm.swappiness", 200),
    ("vm.page-cluster", 0),
    ("vm.watermark_boost_factor", 0),
    ("vm.watermark_scale_factor", 150),
    (MIN_TTL, 0),
    (LRU_GEN, 7),
)


@value
class StoreSpec:
    """What the store should be. ``size_kib`` is uncompressed; ``mem_limit_kib`` physical, None: no limit."""

    kind: str
    algorithm: str
    size_kib: int
    mem_limit_kib: int | None
    swap_priority: int = 100
    sysctls: Sysctls = DEFAULT_SYSCTLS
    preferred: str | None = None
    """What ``auto`` means on this board, by a trial; None: not tried."""


@value
class StoreState:
    """What the store is. ``kind`` is ``none`` when there is no store, and then every reading is None.

    ``orig_kib`` is what is stored, uncompressed (with the page of the swap header); ``compressed_kib`` its
    compressed bytes; ``used_kib`` the RAM that the store occupies with its overhead; ``swap_used_kib`` the
    swap slots taken. ``ratio`` is orig to used, None while nothing is swapped. ``adopted``: it was up already
    when lmkd started. ``foreign``: somebody else set it up; lmkd uses it and does not change it.
    """

    kind: str
    device: str | None = None
    algorithm: str | None = None
    size_kib: int | None = None
    mem_limit_kib: int | None = None
    orig_kib: int | None = None
    compressed_kib: int | None = None
    used_kib: int | None = None
    used_max_kib: int | None = None
    same_pages: int | None = None
    huge_pages: int | None = None
    swap_used_kib: int | None = None
    swap_priority: int | None = None
    adopted: bool = False
    foreign: bool = False
    ratio: float | None = None


NO_STORE = StoreState(kind="none")


def spec_from_config(config: Config, ram_kib: int) -> StoreSpec:
    """The store that a configuration asks for on a board with ``ram_kib`` of memory (MemTotal), nothing measured."""
    size, limit_kib = config.store.size, config.store.mem_limit.kib_of(ram_kib) or None
    wanted = dict(DEFAULT_SYSCTLS) | dict(config.sysctls) if config.manage_sysctls else {}
    return StoreSpec(
        kind=config.store.kind,
        algorithm=config.store.algorithm,
        size_kib=auto_size_kib(ram_kib, limit_kib, None) if size is None else size.kib_of(ram_kib),
        mem_limit_kib=limit_kib,
        swap_priority=config.store.swap_priority,
        sysctls=tuple(wanted.items()),
    )
