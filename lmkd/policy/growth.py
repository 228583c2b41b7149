"""Who grows: page-fault sampling names a suspect, two looks at its size tell whether it grows or only refaults."""

from __future__ import annotations

from lmkd.model import Sample, Settings
from lmkd.policy.victim import Grower
from lmkd.values import value

APART_MIN_MS = 40.0
"""Growth is measured over at least so long: a process that grows in bursts rests between two of them."""
REST_MS = 300.0
STEADY_MS = 300.0
FORGET_AFTER_MS = 1500.0
SHARE_SURE = 0.8
SURE_RAM_PCT = 25
SHMEM_WINDOW_MS = 100.0
BALLAST_KEPT_MS = 3000.0


@value
class Watch:
    """The suspect at the first of two looks, and the grower as it was last confirmed."""

    pid: int = 0
    t_ms: float = 0.0
    size_kib: int = 0
    grower: Grower | None = None
    confirmed_ms: float = 0.0
    measured: bool = False
    """The grower's rate comes from two looks at its size, not from the faults it took."""


@value
class Ballast:
    """What grew last and was sampled: how much of it is resident, and at which ratio the store would take it."""

    pid: int = 0
    t_ms: float = 0.0
    resident_kib: int = 0
    ratio: float | None = None


@value
class ShmemWatch:
    """Growth of shared memory (tmpfs files, memfd, System V), which no death of a small process returns.

    ``kib`` is what of it is resident: while it grows on one side and goes to the store on the other, that stands still.
    ``all_*`` is everything that can go there, wherever it is: files, anonymous memory, and what lies in the store.
    """

    t_ms: float = -1.0
    kib: int = 0
    rate_kib_s: float = 0.0
    all_kib: int = 0
    all_rate_kib_s: float = 0.0


def watch(previous: Watch, sample: Sample, settings: Settings, store_ratio: float) -> Watch:
    """The watch after this sample. A process that swaps in as much as it touches has the same size: no grower."""
    grower = previous.grower
    if (grower is not None and sample.t_ms - previous.confirmed_ms > FORGET_AFTER_MS) or (
        grower is not None and grower.pid in sample.gone
    ):
        previous = Watch(previous.pid, previous.t_ms, previous.size_kib)
    pid, resident, swapped = sample.grower_pid, sample.grower_resident_kib, sample.grower_swapped_kib
    if pid is None or resident is None or swapped is None:
        return previous
    size = resident + swapped
    gain = resident + int(swapped / store_ratio)
    if pid != previous.pid:
        first = _provisional(sample, settings, pid, size, gain)
        if first is not None:
            return Watch(pid, sample.t_ms, size, first, sample.t_ms)
        return Watch(pid, sample.t_ms, size, previous.grower, previous.confirmed_ms)
    apart = sample.t_ms - previous.t_ms
    if apart < APART_MIN_MS:
        return previous
    rate = (size - previous.size_kib) / apart * 1000
    if rate > 0:
        if previous.measured and grower is not None and grower.pid == pid:
            rate = max(rate, _steadied(grower.rate_kib_s, rate, apart))
        return Watch(pid, sample.t_ms, size, Grower(pid, size, gain, rate), sample.t_ms, True)
    resting = grower is not None and grower.pid == pid and sample.t_ms - previous.confirmed_ms > REST_MS
    return Watch(
        pid, sample.t_ms, size, None if resting else previous.grower, previous.confirmed_ms, previous.measured
    )


def _steadied(before_kib_s: float, rate_kib_s: float, apart_ms: float) -> float:
    """The rate with what it was before in it: one that has to reclaim for its pages grows by fits and starts."""
    weight = min(1.0, apart_ms / STEADY_MS)
    return before_kib_s * (1 - weight) + rate_kib_s * weight


def weigh(previous: Ballast, sample: Sample) -> Ballast:
    """The ballast after this sample; kept for a while when a sample names somebody else, gone with its process."""
    pid, resident, ratio = sample.grower_pid, sample.grower_resident_kib, sample.grower_ratio
    if pid is not None and resident is not None and ratio is not None:
        return Ballast(pid, sample.t_ms, resident, ratio)
    if previous.pid in sample.gone or sample.t_ms - previous.t_ms > BALLAST_KEPT_MS:
        return Ballast()
    return previous


def watch_shmem(previous: ShmemWatch, sample: Sample) -> ShmemWatch:
    """Shared memory's growth over windows of ``SHMEM_WINDOW_MS``."""
    all_kib = sample.shmem_kib + sample.anon_kib + sample.swap_total_kib - sample.swap_free_kib
    if previous.t_ms < 0:
        return ShmemWatch(sample.t_ms, sample.shmem_kib, 0.0, all_kib)
    elapsed = sample.t_ms - previous.t_ms
    if elapsed < SHMEM_WINDOW_MS:
        return previous
    rate = (sample.shmem_kib - previous.kib) / elapsed * 1000
    return ShmemWatch(sample.t_ms, sample.shmem_kib, rate, all_kib, (all_kib - previous.all_kib) / elapsed * 1000)


def _provisional(sample: Sample, settings: Settings, pid: int, size: int, gain: int) -> Grower | None:
    """One look is enough for a process that holds much of the memory and takes nearly all the faults."""
    if sample.grower_share < SHARE_SURE or size * 100 < settings.ram_kib * SURE_RAM_PCT:
        return None
    return Grower(pid, size, gain, sample.grower_kib_s * sample.grower_share)
