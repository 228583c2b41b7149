"""The helper's rehearsal: what it does for the guard while memory is out, done once before, and locked."""

from __future__ import annotations

import _signal
import gc
import os
import sys

from lmkd.helper.reap import reap
from lmkd.helper.sample import sample_ratio
from lmkd.kernel.memlock import forget_clean_pages, join_pages, lock_memory, own_pages, trim_heap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.kernel.syscalls import Libc

LATER_PAGES = 4
"""The helper's code stays in pieces of so many pages: what it does first under load brings these, not 16 (0.4 MB)."""
CHILD_S = 10
"""So long the child lives when its parent is ended meanwhile, and nobody ends it."""

GC_THRESHOLD = 700
"""Python's own; until here it was low, see the planner."""


def settle_in(libc: Libc, proc: str, page_bytes: int, pids: list[int], refresh: Callable[[], None]) -> None:
    """Forget what only the start needed, touch what the work needs, and lock it. OSError when it may not be locked."""
    sys.path_importer_cache.clear()  # all file names of the import path; the next import lists them anew
    gc.collect()
    gc.enable()  # a helper that is not the first comes from a guard that has turned it off
    gc.set_threshold(GC_THRESHOLD)
    trim_heap(libc)
    apart = forget_clean_pages(libc, proc, page_bytes)
    rehearse(libc, proc, page_bytes, pids)
    refresh()
    try:
        own_pages(libc, proc, page_bytes)
        lock_memory(libc)
    finally:
        join_pages(libc, apart, LATER_PAGES * page_bytes)


def rehearse(libc: Libc, proc: str, page_bytes: int, pids: list[int]) -> None:
    """Sample and reap, the last on a child made for it. Leaves nothing behind."""
    sample_ratio(proc, min(pids, default=1), page_bytes)
    try:
        child = os.fork()
    except OSError:  # no memory, or too many processes: then it is done for the first time when it is needed
        return
    if child == 0:
        _signal.alarm(CHILD_S)
        while True:
            _signal.pause()
    try:
        reap(libc, child)  # refused: it lives
    finally:
        os.kill(child, _signal.SIGKILL)
        reap(libc, child)
        os.waitpid(child, 0)
