"""Owns a whole survey of this board's memory and algorithms: sample, trial, figures with all that they depend on."""

from __future__ import annotations

import os

from lmkd.errors import StoreError
from lmkd.kernel.swap import page_bytes
from lmkd.store import sampler, trial
from lmkd.store.fit import read_memory
from lmkd.store.remembered import Remembered, this_kernel, this_machine
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmkd.kernel.files import Roots
    from lmkd.store.state import Report
    from lmkd.store.trial_effects import TrialEffects

KEEP_KIB = 16 << 10
"""What must stay available beside a trial."""


@value
class Survey:
    """What was found, what could not be tried, and the ratio by the user's own lz4 package (None: it is not there)."""

    found: Remembered
    failed: tuple[tuple[str, str], ...]
    lz4_ratio: float | None


def survey(
    roots: Roots,
    port: TrialEffects,
    report: Report,
    now_s: int,
    pages: int = sampler.PAGES,
    names: Sequence[str] = (),
    wanted: Callable[[str], bool] | None = None,
) -> Survey:
    """Sample memory (of processes whose name is ``wanted``), try the algorithms. StoreError when it cannot be done."""
    memory = read_memory(roots)
    if memory.available_kib < KEEP_KIB + pages * page_bytes() * 2 // 1024:
        raise StoreError(f"store: no trial while memory is short: {memory.available_kib} KiB are available")
    buffer, taken = sampler.take(str(roots.proc), page_bytes(), pages, os.getpid(), wanted)
    try:
        sample = trial.Sample(buffer, taken.pages, page_bytes())
        outcome = trial.run(roots, port, sample, memory.total_kib, report, names)
        ratio = lz4_ratio(sample)
    finally:
        buffer.close()
    found = Remembered(
        this_kernel(), this_machine(roots), now_s, page_bytes(), taken.pages, taken.processes, taken.same_pages,
        outcome.entry_bytes, outcome.figures,
    )  # fmt: skip
    return Survey(found, outcome.failed, ratio)


def lz4_ratio(sample: trial.Sample) -> float | None:
    """What the user's lz4 package makes of the same pages, before zsmalloc: a cross-check; None without the package."""
    try:
        from lz4.block import compress
    except ImportError:
        return None
    size = sample.page_bytes
    pages = [sample.view[at * size : (at + 1) * size] for at in range(sample.pages)]
    total = sum(0 if sampler.is_same(page) else min(size, len(compress(page, store_size=False))) for page in pages)
    return sample.pages * size / total if total else None
