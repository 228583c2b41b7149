"""Owns what a measurement's pages hold, and the arithmetic of their way to the store and back. Pure.

Contents are made from a seed in order, once to fill and once to compare: nothing is kept beside the pages.
"""

from __future__ import annotations

import random

from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

THREE, WHOLE, VARIED = "ratio 3", "incompressible", "varied"
"""Bytes at random and then zeros: a third of each page, all of it, from a sixth to a half (so a third on average, in
objects of many sizes, as those of applications are)."""
_MIB = 1 << 20
_NS_PER_US = 1000


def contents(kind: str, seed: int, pages: int, page_bytes: int) -> Iterator[bytes]:
    """The first bytes of each page; zeros follow."""
    source = random.Random(seed)  # noqa: S311 - no secret
    fixed = page_bytes if kind == WHOLE else page_bytes // 3 & ~3
    for _ in range(pages):
        count = fixed if kind != VARIED else source.randrange(page_bytes // 6, page_bytes // 2)
        yield source.randbytes(count)


def fill(write: Callable[[int, bytes], None], made: Iterator[bytes]) -> None:
    """Write the contents, page by page."""
    for number, first in enumerate(made):
        write(number, first)


def different(read: Callable[[int], bytes], made: Iterator[bytes], page_bytes: int) -> int:
    """How many pages hold other bytes than they were given."""
    zeros = bytes(page_bytes)
    return sum(read(number) != first + zeros[len(first) :] for number, first in enumerate(made))


def order(pages: Sequence[int], seed: int) -> list[int]:
    """The pages in random order: read-ahead by neighbourhood does not help then."""
    mixed = list(pages)
    random.Random(seed).shuffle(mixed)  # noqa: S311 - no secret
    return mixed


@value
class Out:
    """Pages that were to go and those that went, with the time of both kinds together and what of it was our own."""

    tried: int
    out: int
    ns: int
    cpu_ns: int


@value
class Back:
    """One pass over pages that were out. ``loop_ns``: the same pass over them once they are in memory.

    ``begun_ns`` and ``ended_ns`` are of the monotonic clock. ``major``: faults that had to go further than memory.
    """

    pages: int
    begun_ns: int
    ended_ns: int
    cpu_ns: int
    loop_ns: int
    major: int

    @property
    def own_ns(self) -> int:
        """The time without the pass's own."""
        return max(1, self.ended_ns - self.begun_ns - self.loop_ns)


@value
class Spread:
    """Single faults in microseconds, of so many pages."""

    median_us: float
    p99_us: float
    worst_us: float


def out_us(out: Out) -> float:
    """Microseconds a page that was tried."""
    return out.ns / out.tried / _NS_PER_US


def back_us(back: Back) -> float:
    """Microseconds a page."""
    return back.own_ns / back.pages / _NS_PER_US


def back_cpu_us(back: Back) -> float:
    """Microseconds a page that the faulting process had the processor."""
    return max(0, back.cpu_ns - back.loop_ns) / back.pages / _NS_PER_US


def mb_s(pages: int, page_bytes: int, ns: int) -> float:
    """MB (2**20 bytes) a second."""
    return pages * page_bytes / _MIB / (max(1, ns) / 1e9)


def together_mb_s(backs: Sequence[Back], page_bytes: int, on_one: bool) -> float:
    """What passes at the same time gave in all, from the first one's begin to the last one's end.

    ``on_one``: they shared a processor, so that the loops took their time one after the other.
    """
    loops = [back.loop_ns for back in backs]
    wall_ns = max(back.ended_ns for back in backs) - min(back.begun_ns for back in backs)
    return mb_s(sum(back.pages for back in backs), page_bytes, wall_ns - (sum(loops) if on_one else max(loops)))


def spread(times_ns: Sequence[int], loop_ns: Sequence[int]) -> Spread:
    """Median, 99th percentile and worst of single faults, less the median of the same step without a fault."""
    own = sorted(loop_ns)[len(loop_ns) // 2]
    found = sorted(times_ns)
    chosen = (found[len(found) // 2], found[len(found) * 99 // 100], found[-1])
    return Spread(*(round(max(0, one - own) / _NS_PER_US, 2) for one in chosen))


@value
class Level:
    """What the store holds, uncompressed, and what it occupies, in KiB."""

    orig_kib: int
    used_kib: int


@value
class Deaths:
    """What the store occupied before, right after and once compacted (None: it cannot be), in KiB.

    ``predicted_kib``: by the average ratio before, for what the ended ones had stored.
    """

    before: Level
    at_once: Level
    compacted: Level | None

    @property
    def gone_kib(self) -> int:
        """What the ended ones had stored, uncompressed."""
        return max(0, self.before.orig_kib - self.at_once.orig_kib)

    @property
    def predicted_kib(self) -> int:
        """What the average ratio makes of it."""
        return round(self.gone_kib * self.before.used_kib / max(1, self.before.orig_kib))

    def returned_kib(self, after: Level) -> int:
        """By how much the store is smaller."""
        return self.before.used_kib - after.used_kib
