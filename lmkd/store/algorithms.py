"""Owns the choice of a compression algorithm among those that the kernel offers."""

from __future__ import annotations

from lmkd.errors import StoreError
from lmkd.store.state import AUTO
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.zram import Algorithms

# By cost on a slow core: lz4 and the lzo family decompress at memory speed, the rest costs whole frames.
PREFERENCE = ("lz4", "lzo-rle", "lzo", "lz4hc", "zstd", "deflate", "842")


@value
class Choice:
    """The algorithm to set (None: leave the kernel's own) and, where it is not the one asked for, why."""

    name: str | None
    degraded: str | None = None


def missing_text(name: str, offered: tuple[str, ...]) -> str:
    """What is wrong with asking for ``name`` where the kernel offers ``offered``."""
    return f"store: algorithm {name!r} is not in this kernel, which offers {', '.join(offered)}"


def require(name: str, offered: tuple[str, ...]) -> None:
    """StoreError, with what the kernel offers, when ``name`` is neither ``auto`` nor offered."""
    if name != AUTO and name not in offered:
        raise StoreError(missing_text(name, offered))


def choose(wanted: str, algorithms: Algorithms | None, preferred: str | None = None) -> Choice:
    """The algorithm for a new store: the one wanted, else the best of those offered, and then it says why.

    For ``auto`` that is the one ``preferred``, by a trial on this board, where the kernel offers it.
    """
    if algorithms is None:
        reason = f"store: the kernel lists no algorithms, so {wanted!r} cannot be chosen"
        return Choice(None, None if wanted == AUTO else reason)
    if wanted in algorithms.offered:
        return Choice(wanted)
    if wanted == AUTO and preferred in algorithms.offered:
        return Choice(preferred)
    best = next((name for name in PREFERENCE if name in algorithms.offered), algorithms.selected)
    best = best or algorithms.offered[0]
    if wanted == AUTO:
        return Choice(best)
    return Choice(best, missing_text(wanted, algorithms.offered))
