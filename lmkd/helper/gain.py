"""What a death returns: its own pages, what its swapped pages occupy in the store, and its page tables."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.helper.entry import Entry
    from lmkd.kernel.process import Sizes

WEIGHT_MIN = 0.05
"""A page of one word takes next to nothing, but what manages it does."""
WEIGH_MIN_KIB = 1024
"""Less than this is not worth a look into its pages."""
GROWN = 2
"""One that is so many times the size that it had when its pages were looked at is another application by now."""


def is_to_be_weighed(entry: Entry) -> bool:
    """Was it not looked into at this size, and are enough of its pages here to tell what stored ones are like?"""
    sizes = entry.sizes
    if sizes is None or sizes.anon_kib < WEIGH_MIN_KIB:
        return False
    return entry.size_kib() >= GROWN * entry.weighed_kib


def mean_weight(entries: Iterable[Entry]) -> float:
    """Of the pages in the store whose process was sampled; 0 where none was."""
    weights = pages = 0.0
    for entry in entries:
        if entry.weight and entry.sizes is not None:
            pages += entry.sizes.swapped_kib
            weights += entry.weight * entry.sizes.swapped_kib
    return weights / pages if pages else 0.0


def gain_kib(entry: Entry, sizes: Sizes, store_share: float, mean: float) -> int:
    """What the death of this process returns, at most what its pages are.

    ``store_share`` is what a page occupies in the store on average, ``mean`` the average weight of the pages that it
    holds. The kernel does not tell what one process has of the store, so the average is divided by the samples.
    """
    share = store_share
    if entry.weight and mean:
        share = min(1.0, store_share * entry.weight / mean)
    return max(0, sizes.anon_kib - entry.shared_kib) + int(sizes.swapped_kib * share) + sizes.tables_kib
