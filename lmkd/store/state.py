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
    """What the store should be. ``size_kib`` is uncompressed; ``mem_limit_kib`` physical, None: no limit.

    ``mem_limit_max_kib`` is what the guard may raise that to. ``recompress`` and ``backing_dev`` are empty for none.
    ``pool`` is the allocator of a zswap store: its name, or ``auto``.
    """

    kind: str
    algorithm: str
    size_kib: int
    mem_limit_kib: int | None
    swap_priority: int = 100
    sysctls: Sysctls = DEFAULT_SYSCTLS
    preferred: str | None = None
    """What ``auto`` means on this board, by a trial; None: not tried."""
    pool: str = AUTO
    mem_limit_max_kib: int | None = None
    recompress: str = ""
    backing_dev: str = ""
    backing_dev_force: bool = False


@value
class StoreState:
    """What the store is. ``kind`` is ``none`` when there is no store, and then every reading is None.

    ``orig_kib`` is what is stored, uncompressed (with the page of the swap header); ``compressed_kib`` its
    compressed bytes; ``used_kib`` the RAM that the store occupies with its overhead; ``swap_used_kib`` the
    swap slots taken. ``ratio`` is orig to used, None while nothing is swapped. ``adopted``: it was up already
    when lmkd started. ``foreign``: somebody else set it up; lmkd uses it and does not change it.

    Of zswap alone: ``pool`` is its allocator (None: this kernel has only one), ``backing`` what stands behind it,
    ``mem_limit_kib`` the size at which the kernel refuses; since boot, where debugfs tells: ``rejected_pages`` that
    did not go in, ``limit_hits`` of the pool's limit, ``written_back_pages``; ``device_writes`` that went past zswap.
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
    pool: str | None = None
    backing: str | None = None
    rejected_pages: int | None = None
    limit_hits: int | None = None
    written_back_pages: int | None = None
    device_writes: int | None = None


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
        pool=config.store.pool,
        mem_limit_max_kib=config.store.mem_limit_max.kib_of(ram_kib) or None,
        recompress=config.store.recompress,
        backing_dev=config.store.backing_dev,
        backing_dev_force=config.store.backing_dev_force,
    )
