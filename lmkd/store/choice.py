"""Owns what a board gains from each compression algorithm, which one it takes, and how large its store is. Pure.

What a page gives. A page of ``page`` bytes that is stored at ratio r gives back page x (1 - 1/r), and a store that may
take ``limit`` of RAM holds limit x r. So the *effective memory* of a board is

    effective = RAM - limit + limit x r - overhead

with the algorithm's own memory (its work area, its module) as overhead: zstd's 1.7 MB are 4% of a board of 64 MB.

What a page costs. Processor time once when it is stored, and once when it is needed again. The two bounds come from the
one knob, ``stall_budget``, and from the board's RAM:

- *burst*: as much as the foreground may need in one stall budget, 1% of RAM. An application of a tenth of RAM (24 MB of
  256) that comes to the front touches its memory in about ten frames; an application that starts takes as much.
- fetching a burst may take half of the stall budget: the foreground waits for each of these pages, and the rest of the
  time is its own, and the page fault's.
- storing a burst may take three, the time in which the guard notices, kills and gets memory back (``kill_horizon``):
  what grows by a burst in less outruns any store and is the guard's to stop; what grows slower should be stored.

So a board with half the memory may spend twice the time on a page: its applications are smaller, and memory is what it
lacks. Beyond the bounds no ratio is worth it. Where even the cheapest algorithm breaks a bound, the bound is what the
cheapest takes and a quarter more. Within the bounds the most effective memory wins; of those that give nearly as much
(``NEAR_PCT``), the one that costs least.
"""

from __future__ import annotations

from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BURST_PCT = 1
FETCH_PART = 2
"""Fetching a burst takes at most a half of the stall budget."""
STORE_TIMES = 3
QUARTER_MORE = 1.25
NEAR_PCT = 5
RATIO_UNKNOWN = 3.0
"""Taken where nothing was measured; and a size never follows from less: applications come and go, slots are cheap."""
SIZE_PCT_MAX = 400
SIZE_MARGIN_PCT = 50
ENTRY_BYTES = 16
"""zram's table, for each page of disksize: measured on armhf, Linux 6.1 (it keeps access times; 8 without)."""
SWAP_SLOT_BYTES = 3
"""What swapon(2) takes for each page: 1 of the swap map, 2 of the memory controller (measured on the same board)."""


@value
class Figure:
    """What a trial measured of one algorithm, all a page: bytes compressed and occupied in the store (with zsmalloc's
    rounding), microseconds of processor time to store and to fetch. ``overhead_kib``: its own memory on this board."""

    name: str
    compressed_bytes: float
    occupied_bytes: float
    store_us: float
    fetch_us: float
    overhead_kib: int

    def ratio(self, page_bytes: int) -> float:
        """Uncompressed to occupied: what a KiB of the store's RAM holds."""
        return page_bytes / self.occupied_bytes if self.occupied_bytes > 0 else float(page_bytes)

    @property
    def cost_us(self) -> float:
        """Of a page that is stored and comes back once."""
        return self.store_us + self.fetch_us


@value
class Board:
    """What the choice depends on besides the figures."""

    ram_kib: int
    limit_kib: int
    stall_budget_ms: int
    page_bytes: int = 4096


@value
class Bounds:
    """The most that a page may cost here, in microseconds, and the burst that they follow from."""

    burst_pages: int
    store_us: float
    fetch_us: float


@value
class Rated:
    """One algorithm on one board: its ratio, the board's effective memory with it, and why it was not taken ("": it
    was)."""

    figure: Figure
    ratio: float
    effective_kib: int
    reason: str


def bounds(board: Board) -> Bounds:
    """What a page may cost on this board."""
    burst = max(1, board.ram_kib * 1024 * BURST_PCT // 100 // board.page_bytes)
    budget_us = board.stall_budget_ms * 1000
    return Bounds(burst, budget_us * STORE_TIMES / burst, budget_us / FETCH_PART / burst)


def effective_kib(figure: Figure, board: Board) -> int:
    """The board's memory with a full store: what is not the store's, and what the store holds."""
    held_kib = board.limit_kib * figure.ratio(board.page_bytes)
    return max(1, round(board.ram_kib - board.limit_kib + held_kib - figure.overhead_kib))


def rate(figures: Sequence[Figure], board: Board) -> list[Rated]:
    """Each algorithm with the reason why it is not the one; exactly one has none. No figures: nothing."""
    if not figures:
        return []
    limits = kept_bounds(figures, board)
    rows = [(figure, effective_kib(figure, board), _too_slow(figure, limits)) for figure in figures]
    able = [(figure, effective) for figure, effective, slow in rows if not slow]
    enough = max(effective for _, effective in able) / (1 + NEAR_PCT / 100)
    near = [(figure.cost_us, -effective, at) for at, (figure, effective) in enumerate(able) if effective >= enough]
    winner, most = able[min(near)[2]]
    return [
        Rated(figure, figure.ratio(board.page_bytes), effective, slow or _reason(figure, effective, winner, most))
        for figure, effective, slow in rows
    ]


def kept_bounds(figures: Sequence[Figure], board: Board) -> Bounds:
    """The bounds of this board, as far as the cheapest algorithm can keep them."""
    limits = bounds(board)
    cheapest = min(figures, key=lambda figure: figure.cost_us)
    most_store_us, most_fetch_us = cheapest.store_us * QUARTER_MORE, cheapest.fetch_us * QUARTER_MORE
    return Bounds(limits.burst_pages, max(limits.store_us, most_store_us), max(limits.fetch_us, most_fetch_us))


def best(figures: Sequence[Figure], board: Board) -> Rated | None:
    """The algorithm for this board; None without figures."""
    return next((row for row in rate(figures, board) if not row.reason), None)


def _too_slow(figure: Figure, limits: Bounds) -> str:
    if figure.fetch_us > limits.fetch_us:
        return f"a fetch takes {figure.fetch_us:.1f} us, more than {limits.fetch_us:.1f}"
    if figure.store_us > limits.store_us:
        return f"a store takes {figure.store_us:.1f} us, more than {limits.store_us:.1f}"
    return ""


def _reason(figure: Figure, effective: int, winner: Figure, most: int) -> str:
    if figure is winner:
        return ""
    more = round(effective / most * 100 - 100, 1)
    if more > 0:
        times = figure.cost_us / max(winner.cost_us, 0.001)
        return f"{more}% more memory than {winner.name}, for {times:.1f} times the time"
    if more < 0:
        return f"{-more}% less memory than {winner.name}"
    return f"as much memory as {winner.name}, for {figure.cost_us:.1f} us in place of {winner.cost_us:.1f}"


def auto_size_kib(ram_kib: int, limit_kib: int | None, ratio: float | None) -> int:
    """The disksize with which the limit on RAM is what bounds the store, not the number of its slots.

    A store of ``limit`` holds limit x ratio. Half as much again is for what takes slots and no memory (pages of one
    repeated word, slots kept for pages that are in memory as well), and for data that compresses better than the
    sample. At most 400% of RAM: an unused slot costs 19 bytes (0.46% of its page), so those of 400% cost 1.9% of RAM,
    those of the 135% that a limit of 30% and a ratio of 3 make 0.6%. Without a limit the whole of RAM may be stored.
    """
    limit_kib = ram_kib if limit_kib is None else min(limit_kib, ram_kib)
    held_kib = limit_kib * max(RATIO_UNKNOWN, ratio or 0.0)
    size_kib = held_kib * (100 + SIZE_MARGIN_PCT) / 100
    return max(1024, min(ram_kib * SIZE_PCT_MAX // 100, round(size_kib)))


def slots_kib(size_kib: int, page_bytes: int, entry_bytes: int | None = None) -> int:
    """What a store of this disksize costs before anything is stored; ``entry_bytes`` as measured here."""
    slot_bytes = (ENTRY_BYTES if entry_bytes is None else entry_bytes) + SWAP_SLOT_BYTES
    return round(size_kib / page_bytes * slot_bytes)
