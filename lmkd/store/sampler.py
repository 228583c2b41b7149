"""Owns a sample of whole pages of this board's applications: bounded, of all in proportion to their memory.

What is sampled stays in locked memory of this process and is overwritten at the end: it is written to no file, and
nothing is swapped in for it. One page is looked at twice (present?, then its content); a page that goes in between is
brought in again by the kernel, which at 256 pages does not matter.
"""

from __future__ import annotations

import os
import random

from lmkd.errors import KernelInterfaceError, StoreError
from lmkd.kernel.counters import find_number
from lmkd.kernel.direct_io import PageBuffer
from lmkd.kernel.files import errno_text
from lmkd.kernel.pinned import read_once
from lmkd.kernel.process import list_pids
from lmkd.kernel.process_pages import ProcessPages
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PAGES = 256
PAGES_MIN = 16
"""Fewer tell nothing of a board."""


@value
class Taken:
    """What was sampled: pages in all, of how many processes, and how many of one repeated word (zram keeps these
    without compressing them)."""

    pages: int
    processes: int
    same_pages: int


def anonymous_kib(proc: str, pid: int) -> int | None:
    """RssAnon of /proc/PID/status (Linux 4.5); None for a kernel thread and for a process that is gone."""
    data = read_once(f"{proc}/{pid}/status")
    return find_number(data, b"RssAnon:") if data else None


def processes(proc: str, wanted: Callable[[str], bool] | None = None) -> dict[int, int]:
    """Anonymous KiB of each process but our own; ``wanted`` asks by its name (comm)."""
    found = {}
    for pid in list_pids(proc):
        size_kib = anonymous_kib(proc, pid) if pid != os.getpid() else None
        if size_kib and (wanted is None or wanted(name_of(proc, pid))):
            found[pid] = size_kib
    return found


def name_of(proc: str, pid: int) -> str:
    """The name of a process as the kernel has it; empty when it is gone."""
    return (read_once(f"{proc}/{pid}/comm") or b"").decode("utf-8", "surrogateescape").rstrip("\n")


def shares(sizes: Mapping[int, int], pages: int) -> dict[int, int]:
    """How many of ``pages`` each process gives, by its size; the largest remainders get what rounding leaves."""
    total = sum(sizes.values())
    if not total:
        return {}
    exact = {pid: size * pages / total for pid, size in sizes.items()}
    given = {pid: int(share) for pid, share in exact.items()}
    by_remainder = sorted(exact, key=lambda pid: (given[pid] - exact[pid], pid))
    for pid in by_remainder[: pages - sum(given.values())]:
        given[pid] += 1
    return {pid: count for pid, count in given.items() if count}


def choose(numbers: Sequence[int], count: int, seed: int) -> list[int]:
    """``count`` of the numbers at random, each at most once, in order."""
    picked = random.Random(seed).sample(numbers, min(count, len(numbers)))  # noqa: S311 - a sample, no secret
    return sorted(picked)


def take(
    proc: str,
    page_bytes: int,
    pages: int = PAGES,
    seed: int = 1,
    wanted: Callable[[str], bool] | None = None,
) -> tuple[PageBuffer, Taken]:
    """A buffer that begins with the sampled pages, and what they are. The caller closes it.

    StoreError when fewer than ``PAGES_MIN`` could be had.
    """
    try:
        buffer = PageBuffer(pages * page_bytes)
    except OSError as error:
        raise KernelInterfaceError(f"no memory for {pages} sampled pages: {errno_text(error)}") from error
    try:
        return buffer, _fill(buffer.view, proc, page_bytes, seed, shares(processes(proc, wanted), pages))
    except BaseException:
        buffer.close()
        raise


def _fill(view: memoryview, proc: str, page_bytes: int, seed: int, parts: Mapping[int, int]) -> Taken:
    done = gave = same = 0
    refused = ""
    for pid, count in parts.items():
        before = done
        try:
            with ProcessPages(proc, pid, page_bytes) as memory:
                for page in choose(list(memory.present()), count, seed + pid):
                    place = view[done * page_bytes : (done + 1) * page_bytes]
                    if memory.read(page, place):
                        same += is_same(place)
                        done += 1
        except OSError as error:
            refused = f" ({errno_text(error)})"
        gave += done > before
    if done < PAGES_MIN:
        raise StoreError(f"store: only {done} pages of memory could be sampled, {PAGES_MIN} are needed{refused}")
    return Taken(done, gave, same)


def is_same(page: memoryview) -> bool:
    """Whether one word fills the page (zram: ``page_same_filled``, a word is an unsigned long)."""
    words = page.cast("L")
    return page[: -words.itemsize] == page[words.itemsize :]
