"""Shares of the processor: the nice values of a process's threads (sched(7), setpriority(2)), and the kernel's own."""

from __future__ import annotations

import os

from lmkd.kernel.process import list_pids, read_stat

NICE_LOWEST, NICE_HIGHEST = 19, -20
RECLAIM = "kswapd"
"""A kernel thread for each node of memory: kswapd0, kswapd1 ... (mm/vmscan.c, kswapd_run)."""


def threads_of(proc: str, pid: int) -> list[int]:
    """The threads of a process; none when it is gone."""
    try:
        return [int(name) for name in os.listdir(f"{proc}/{pid}/task")]
    except OSError:
        return []


def lives(proc: str, pid: int, start: int) -> bool:
    """Is it still this process? A first thread that has ended is a zombie while the others go on."""
    stat = read_stat(proc, pid)
    if stat is None or stat.start_ticks != start or stat.state == "X":
        return False
    return stat.state != "Z" or len(threads_of(proc, pid)) > 1


def nice_of(thread: int) -> int | None:
    """None for one that has ended."""
    try:
        return os.getpriority(os.PRIO_PROCESS, thread)
    except OSError:
        return None


def set_nice(thread: int, nice: int) -> str:
    """Empty, or why not; a thread that has ended needs none."""
    try:
        os.setpriority(os.PRIO_PROCESS, thread, nice)
    except ProcessLookupError:
        return ""
    except OSError as error:
        return f"nice of {thread}: {error.strerror}"
    return ""


def may_raise() -> str:
    """Empty, or why this process may raise nobody: tried on itself, since what only half succeeds stays behind."""
    try:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.sched_getscheduler(0)  # musl has none: without it what a launcher starts would be raised with it
        os.setpriority(os.PRIO_PROCESS, 0, NICE_HIGHEST)
        os.setpriority(os.PRIO_PROCESS, 0, own)
    except OSError as error:
        return f"nice {NICE_HIGHEST}: {error.strerror}"
    return ""


def raise_alone(thread: int, nice: int) -> str:
    """This nice value for one thread, and not for what it starts (SCHED_RESET_ON_FORK, sched(7)). Empty, or why not."""
    return _keep_from_children(thread, True) or set_nice(thread, nice)


def lower_again(thread: int, nice: int, from_nice: int) -> str:
    """Undo ``raise_alone``; who has another value than ``from_nice`` now has chosen it. Empty, or why not."""
    refused = set_nice(thread, nice) if nice_of(thread) == from_nice else ""
    return refused or _keep_from_children(thread, False)


def _keep_from_children(thread: int, keep: bool) -> str:
    try:
        policy = os.sched_getscheduler(thread)
        wanted = policy | os.SCHED_RESET_ON_FORK if keep else policy & ~os.SCHED_RESET_ON_FORK
        if wanted != policy:
            os.sched_setscheduler(thread, wanted, os.sched_getparam(thread))
    except ProcessLookupError:
        return ""
    except OSError as error:
        return f"sched_setscheduler of {thread}: {error.strerror}"
    return ""


def plain_nice(thread: int) -> int | None:
    """The nice value of a thread that may be raised; None for others: one that is real-time, keeps its share from its
    children by itself, is at the lowest (it yields, or chose that), or has ended."""
    try:
        if os.sched_getscheduler(thread) == os.SCHED_OTHER:
            nice = os.getpriority(os.PRIO_PROCESS, thread)
            return nice if nice < NICE_LOWEST else None
    except OSError:
        return None
    return None


def shares_of(proc: str, pid: int) -> dict[int, int]:
    """``plain_nice`` of each thread of a process that has one."""
    return {thread: nice for thread in threads_of(proc, pid) if (nice := plain_nice(thread)) is not None}


def reclaim_threads(proc: str) -> list[tuple[int, int]]:
    """(process id, start ticks) of the kernel threads that reclaim memory; whoever else is called so is none."""
    found = []
    for pid in list_pids(proc):
        stat = read_stat(proc, pid)
        if stat is not None and stat.kernel_thread and stat.comm.startswith(RECLAIM):
            found.append((pid, stat.start_ticks))
    return found
