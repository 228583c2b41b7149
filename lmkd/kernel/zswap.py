"""Owns zswap's interface: its parameters, what it counts, and root's memory.zswap.writeback.

Source: Documentation/admin-guide/mm/zswap.rst, mm/zswap.c, admin-guide/cgroup-v2.rst (5.10 to 6.18). Parameters
come and go: ``zpool`` until 6.17, ``exclusive_loads`` 6.5 to 6.7, ``same_filled_pages_enabled`` until 6.8,
``shrinker_enabled`` since 6.8. A parameter that names what the kernel cannot load is refused with ENOENT, or,
before zswap was ever on (6.3), replaced by the kernel's own choice when it is switched on.
"""

from __future__ import annotations

import os

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.cgroup_mount import find_cgroup2
from lmkd.kernel.counters import find_number
from lmkd.kernel.files import parse_int, read_bytes, read_text_or_none, write_text
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots

WRITEBACK = "memory.zswap.writeback"
ENABLED, COMPRESSOR, POOL = "enabled", "compressor", "zpool"
MAX_POOL_PERCENT, EXCLUSIVE_LOADS = "max_pool_percent", "exclusive_loads"
PARAMETERS = (
    ENABLED, COMPRESSOR, POOL, MAX_POOL_PERCENT, "accept_threshold_percent", EXCLUSIVE_LOADS,
    "same_filled_pages_enabled", "non_same_filled_pages_enabled", "shrinker_enabled",
)  # fmt: skip
REJECTS = (
    "reject_reclaim_fail", "reject_alloc_fail", "reject_kmemcache_fail", "reject_compress_poor",
    "reject_compress_fail",
)  # fmt: skip
LIMIT_HIT, WRITTEN_BACK = "pool_limit_hit", "written_back_pages"


@value
class ZswapStat:
    """What zswap holds, in KiB: pages as they were, and what the pool occupies."""

    stored_kib: int
    pool_kib: int


@value
class ZswapCounters:
    """Since boot, from debugfs and vmstat; None where a counter does not exist or debugfs cannot be read.

    ``device_writes`` are pages that went past zswap to a swap device, whichever it is (pswpout): behind a device that
    takes nothing, the refused ones. Before 6.7 those that lz4 refuses are counted there alone.
    """

    rejected: int | None
    limit_hits: int | None
    written_back: int | None
    device_writes: int | None


def exists(roots: Roots) -> bool:
    """Whether this kernel has zswap (CONFIG_ZSWAP; it is never a module)."""
    return os.path.isdir(roots.sys / "module" / "zswap" / "parameters")


def path_of(roots: Roots, name: str) -> str | None:
    """The file of a parameter, or of root's writeback switch; None for what this kernel cannot have.

    Raises KernelInterfaceError for any other name, so that a hostile record cannot point elsewhere.
    """
    if name == WRITEBACK:
        mount = find_cgroup2(roots)
        return None if mount is None else f"{mount}/{WRITEBACK}"
    if name not in PARAMETERS:
        raise KernelInterfaceError(f"zswap parameter {name[:60]!r}: lmkd knows {', '.join(PARAMETERS)} only")
    return str(roots.sys / "module" / "zswap" / "parameters" / name)


def read(roots: Roots, name: str) -> str | None:
    """A parameter's value as the kernel shows it; None when this kernel does not have it."""
    path = path_of(roots, name)
    text = None if path is None else read_text_or_none(path)
    return None if text is None else text.strip()


def write(roots: Roots, name: str, text: str) -> None:
    """Set a parameter. KernelInterfaceError with ENOENT for an algorithm or pool that the kernel cannot load."""
    path = path_of(roots, name)
    if path is None:
        raise KernelInterfaceError(f"{name}: cgroup2 is not mounted")
    write_text(path, text)


def stat(roots: Roots) -> ZswapStat | None:
    """What zswap holds now; None where meminfo does not tell (before Linux 5.19)."""
    data = read_bytes(roots.proc / "meminfo")
    pool_kib, stored_kib = find_number(data, b"Zswap:"), find_number(data, b"Zswapped:")
    return None if pool_kib is None or stored_kib is None else ZswapStat(stored_kib, pool_kib)


def counters(roots: Roots) -> ZswapCounters:
    """The counters in debugfs and vmstat."""
    vmstat = read_text_or_none(roots.proc / "vmstat") or ""
    writes = find_number(vmstat.encode("utf-8", "surrogateescape"), b"pswpout ")
    rejected = [number for name in REJECTS if (number := _counter(roots, name)) is not None]
    return ZswapCounters(
        sum(rejected) if rejected else None, _counter(roots, LIMIT_HIT), _counter(roots, WRITTEN_BACK), writes
    )


def _counter(roots: Roots, name: str) -> int | None:
    path = roots.sys / "kernel" / "debug" / "zswap" / name
    try:
        text = read_text_or_none(path)
        return None if text is None else parse_int(text, str(path))
    except KernelInterfaceError:
        return None
