"""What the plan says of the store: where the resident processes read it, and what they may do with it."""

from __future__ import annotations

import os

from lmkd.plan import Plan, Writeback
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.config import Config
    from lmkd.kernel.files import Roots
    from lmkd.store.state import StoreState

TEND_MS = 600_000
"""Between two rounds of writing back: flash is spared by few large writes rather than many small ones."""


def with_store(plan: Plan, roots: Roots, config: Config, store: StoreState, ram_kib: int) -> Plan:
    """The plan with the store's part."""
    return replace(
        plan,
        zswap_limit=_zswap_limit(roots, store),
        sys_block=str(roots.sys / "block"),
        dev=str(roots.dev),
        store_own=store.kind == "zram" and not store.foreign,
        writeback=writeback(roots, config, ram_kib) if store.kind == "zram" else None,
    )


def zram_stat(roots: Roots, store: StoreState) -> str:
    """The file that tells how full a zram store is; empty for another kind."""
    if not store.device or store.kind != "zram":
        return ""
    return str(roots.sys / "block" / os.path.basename(store.device) / "mm_stat")


def _zswap_limit(roots: Roots, store: StoreState) -> str:
    """Where the guard reads the limit of a zswap store: there somebody may change it at any time."""
    from lmkd.kernel.zswap import MAX_POOL_PERCENT, path_of

    return (path_of(roots, MAX_POOL_PERCENT) or "") if store.kind == "zswap" else ""


def writeback(roots: Roots, config: Config, ram_kib: int) -> Writeback | None:
    """What the helper may write out of the store; None for nothing, so that it never wakes for it."""
    store = config.store
    writes = store.backing_dev and (store.writeback.idle or store.writeback.huge)
    if not writes and not store.recompress:
        return None
    folders = (str(roots.run), str(roots.run.parents[1] / "var" / "lib" / "lmkd"))
    return Writeback(
        huge=bool(writes and store.writeback.huge),
        idle=bool(writes and store.writeback.idle),
        idle_s=store.writeback.idle_age_ms // 1000,
        daily_kib=store.writeback.daily_limit.kib_of(ram_kib),
        recompress=store.recompress,
        folders=folders,
    )
