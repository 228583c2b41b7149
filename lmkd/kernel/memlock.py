"""Locking one's own memory, so that the guard never waits for a page of its own (mlockall(2))."""

from __future__ import annotations

from lmkd.kernel.syscalls import Libc

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4


def lock_memory(libc: Libc) -> None:
    """Lock what is resident and what will be touched, not what is only mapped (ONFAULT, Linux 4.4). OSError."""
    libc.call("mlockall", MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)
