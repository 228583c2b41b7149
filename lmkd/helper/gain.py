"""What a death returns: its own pages, what its swapped pages occupy in the store, and what the kernel keeps for it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.helper.entry import Entry
    from lmkd.kernel.process import Sizes

PROCESS_KIB = 32
"""Stack, first page table and descriptors of a process; VmPTE has only the other page tables. On the board 36 to 44."""
PAIRING = b"zbud"
"""A pool of zswap that puts two pages into one (mm/zbud.c). There samples mislead: a large page shares its with a small
one of somebody else, so what a death returns goes by who was ended before. Tried on the board with applications that
compress to 1.5, 2, 3 and 6: median error 28 % by the average, 39 % by samples in whole halves, 64 % by the true sizes.
In z3fold samples help: 24 % by the average, 16 % by samples."""
WEIGHT_MIN = 0.05
"""A page of one word takes next to nothing, but what manages it does."""
WEIGH_MIN_KIB = 1024
"""Less than this is not worth a look into its pages."""
GROWN = 2
"""One that is so many times the size that it had when its pages were looked at is another application by now."""
CHANCE = 0.12
"""So far from the average a sample may be by chance: what is hardly farther counts hardly."""
PRIVATE_MIN_KIB, SHARE_WORTH = 2048, 4
"""Below this, how much a forked child shares with its parent is not worth walking its page tables."""


def is_to_be_weighed(entry: Entry) -> bool:
    """Was it not looked into at this size, and are enough of its pages here to tell what stored ones are like?"""
    sizes = entry.sizes
    if sizes is None or sizes.anon_kib < WEIGH_MIN_KIB:
        return False
    return entry.size_kib() >= GROWN * entry.weighed_kib


def weight_of(shares: list[float]) -> float:
    """What pages take in the store, which a compressor leaves these ``shares`` of. 0 without pages."""
    return max(WEIGHT_MIN, sum(shares) / len(shares)) if shares else 0.0


def mean_weight(entries: Iterable[Entry]) -> float:
    """Of the pages in the store whose process was sampled; 0 where none was."""
    weights = pages = 0.0
    for entry in entries:
        if entry.weight and entry.sizes is not None:
            pages += entry.sizes.swapped_kib
            weights += entry.weight * entry.sizes.swapped_kib
    return weights / pages if pages else 0.0


def share_of(weight: float, store_share: float, mean: float) -> float:
    """What a page of a process occupies, by its sample's ``weight``. What may be chance is taken out of the sample.

    ``store_share`` is what a page occupies in the store on average, ``mean`` the average weight of the pages that it
    holds. The kernel does not tell what one process has of the store, so the average is divided by the samples.
    """
    if not weight or not mean:
        return store_share
    apart = weight / mean - 1
    sure = max(0.0, 1 - (CHANCE / apart) ** 2) if apart else 0.0
    return min(1.0, store_share * (1 + apart * sure))


def gain_kib(entry: Entry, sizes: Sizes, store_share: float, mean: float) -> int:
    """What the death of this process returns."""
    stored = int(sizes.swapped_kib * share_of(entry.weight, store_share, mean))
    return max(0, sizes.anon_kib - entry.shared_kib) + stored + sizes.tables_kib + PROCESS_KIB


def may_share(entry: Entry, parent: Entry | None, sizes: Sizes) -> bool:
    """Could enough be shared with the parent that a walk through the page tables is worth its time?

    The walk also holds the memory of a victim that dies meanwhile, so it must be rare: a child cannot share more
    than its parent has.
    """
    if not entry.forked or parent is None or parent.sizes is None or sizes.anon_kib < PRIVATE_MIN_KIB:
        return False
    return (parent.sizes.anon_kib + parent.sizes.swapped_kib) * SHARE_WORTH >= sizes.anon_kib
