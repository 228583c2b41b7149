"""Freeing the memory of a dying process that does not get to do it itself (process_mrelease(2), Linux 5.15)."""

from __future__ import annotations

import errno
import os

from lmkd.kernel.syscalls import Libc, number_of

TRIES = 3


def reap(libc: Libc, pid: int) -> str:
    """Release the victim's memory in our own, ordinary time. Returns what came of it, for the record.

    Source: process_mrelease(2): EINVAL when it is not dying, EAGAIN to try again, ESRCH when it is gone already.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        return "gone" if error.errno == errno.ESRCH else f"pidfd_open: {error.strerror}"
    try:
        for _ in range(TRIES):
            try:
                libc.syscall(number_of("process_mrelease"), descriptor, 0)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    continue
                return "gone" if error.errno == errno.ESRCH else f"process_mrelease: {error.strerror}"
            return "released"
        return "busy"
    finally:
        os.close(descriptor)
