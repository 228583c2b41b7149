"""Thrashing: what is in use does not fit, so pages leave for the store and come back while everybody waits.

The store's room is no room then: whatever goes into it is wanted again at once.
"""

from __future__ import annotations

from lmkd.model import Sample, Settings
from lmkd.values import replace, value

COMES_BACK_S = 1000
"""So many pages a second leave, and as many come back: a tenth of a 500 MIPS core (50 us each way)."""
WINDOW_STALLS = 5
"""A window of so many stall windows, a second by default: within one, pages leave first and come back later."""
WINDOWS = 2
"""An application of 24 MB that comes to the front fetches its pages within one: that ends by itself."""


@value
class Thrash:
    """What the running window began with, how many before it were bad, and what a next kill is to return at least."""

    since_ms: float = -1.0
    full_us: int = 0
    back: int = 0
    left: int = 0
    windows: int = 0
    deficit_kib: int = 0

    @property
    def lasts(self) -> bool:
        """Has it gone on for so long that it will not end by itself?"""
        return self.windows >= WINDOWS


_NONE = Thrash()


def watch_thrash(thrash: Thrash, sample: Sample, settings: Settings) -> Thrash:
    """Close the window when it is full. Without PSI, or the kernel's counts of pages, nothing is seen."""
    full_us, back, left = sample.full_us, sample.swapped_in, sample.swapped_out
    if full_us is None or back is None or left is None:
        return _NONE
    if thrash.since_ms < 0:
        return replace(thrash, since_ms=sample.t_ms, full_us=full_us, back=back, left=left)
    window_ms = WINDOW_STALLS * settings.stall_window_ms
    elapsed_ms = sample.t_ms - thrash.since_ms
    if elapsed_ms > 2 * window_ms:
        return Thrash(sample.t_ms, full_us, back, left)
    if elapsed_ms < window_ms:
        return thrash
    waited_ms = (full_us - thrash.full_us) / 1000
    moved_s = min(back - thrash.back, left - thrash.left) * 1000 / elapsed_ms
    if moved_s < COMES_BACK_S or waited_ms * settings.stall_window_ms <= settings.stall_budget_ms * elapsed_ms:
        return Thrash(sample.t_ms, full_us, back, left)
    return Thrash(sample.t_ms, full_us, back, left, min(WINDOWS, thrash.windows + 1), thrash.deficit_kib)


def after_kill(thrash: Thrash, settings: Settings) -> Thrash:
    """A kill landed: one more window tells whether it helped. Else the next is to return twice as much: how much is
    missing nobody knows."""
    if not thrash.lasts:
        return replace(thrash, since_ms=-1.0)
    deficit_kib = min(settings.stall_free_kib, 2 * max(thrash.deficit_kib, settings.headroom_floor_kib))
    return Thrash(windows=WINDOWS - 1, deficit_kib=deficit_kib)
