"""One process that has the processor before others for a while, and what each of its threads had before."""

from __future__ import annotations

from lmkd.helper.listing import numbers
from lmkd.kernel.nice import (
    NICE_HIGHEST,
    NICE_LOWEST,
    lives,
    lower_again,
    nice_of,
    plain_nice,
    raise_alone,
    set_nice,
    shares_of,
    threads_of,
)

THREADS_LISTED = 32
BORN_NICE = 0
"""What the kernel gives to who is born of one that is raised (SCHED_RESET_ON_FORK)."""


class Raised:
    """``nice`` is what its threads had, of those that were raised to ``to``. Mutable; never leaves the helper.

    ``left``: it comes from the list of a helper before this one, which names only threads unlike the first.
    """

    __slots__ = ("left", "nice", "pid", "start", "to")

    def __init__(self, pid: int, start: int, to: int, nice: dict[int, int], left: bool = False) -> None:
        self.pid = pid
        self.start = start
        self.to = to
        self.nice = nice
        self.left = left

    def raise_all(self) -> str:
        """Empty, or why one of its threads could not be raised."""
        for thread in self.nice:
            refused = raise_alone(thread, self.to)
            if refused:
                return refused
        return ""

    def raise_born(self, proc: str) -> None:
        """The threads that were born since, as far as that is allowed."""
        threads = threads_of(proc, self.pid) if lives(proc, self.pid, self.start) else []
        for thread in threads:
            own = plain_nice(thread) if thread not in self.nice else None
            if own is not None and own > self.to:
                self.nice[thread] = self.nice[self.pid] if own == BORN_NICE else own
                raise_alone(thread, self.to)
        for ended in [thread for thread in self.nice if thread != self.pid and thread not in threads]:
            del self.nice[ended]

    def lower(self, proc: str) -> str:
        """To each what it had. Empty, or why one did not get it."""
        mine, failed = self.nice[self.pid], ""
        for thread in threads_of(proc, self.pid) if lives(proc, self.pid, self.start) else ():
            own = self.nice.get(thread)
            if own is None and self.left and nice_of(thread) == self.to:
                own = mine
            if own is not None:
                failed = lower_again(thread, own, self.to) or failed
            elif mine != BORN_NICE and plain_nice(thread) == BORN_NICE:
                set_nice(thread, mine)  # what it would have been born with
        return failed

    def line(self) -> str:
        """As ``parse`` reads it."""
        mine = self.nice[self.pid]
        unlike = [f" {thread}:{own}" for thread, own in self.nice.items() if own != mine][:THREADS_LISTED]
        return f"{self.pid} {self.start} {self.to} {mine}{''.join(unlike)}\n"


def measure(proc: str, pid: int, start: int, to: int) -> Raised | None:
    """What the threads of a process have that can be raised to ``to``; None when its first is none of them."""
    if not lives(proc, pid, start):
        return None
    nice = {thread: own for thread, own in shares_of(proc, pid).items() if own > to}
    return Raised(pid, start, to, nice) if pid in nice else None


def parse(line: bytes) -> Raised | None:
    """A line of the list; None for one that is odd."""
    found = numbers(line.replace(b":", b" "))
    if len(found) < 4 or len(found) % 2:
        return None
    pid, start, to, nice, *unlike = found
    each = {pid: nice, **dict(zip(unlike[::2], unlike[1::2], strict=True))}
    odd = pid <= 1 or not all(NICE_HIGHEST <= to < own <= NICE_LOWEST for own in each.values())
    return None if odd else Raised(pid, start, to, each, left=True)
