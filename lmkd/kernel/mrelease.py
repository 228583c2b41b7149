"""process_mrelease(2), Linux 5.15: freeing the memory of a dying process in the caller's time instead of its own."""

from __future__ import annotations

import errno
import os

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.syscalls import Libc, number_of

TRIES = 3
OUTCOMES = {
    errno.ESRCH: "gone",
    errno.EINVAL: "not dying",
    errno.ENOSYS: "this kernel has no process_mrelease",
}


def mrelease(libc: Libc, pidfd: int) -> str:
    """Release the memory of the dying process behind ``pidfd``: "released", "gone", "busy", or why not.

    EINVAL: it is not dying; EAGAIN: its memory map is locked, try again; ESRCH: nothing is left to release.
    """
    try:
        number = number_of("process_mrelease")
    except KernelInterfaceError as error:
        return str(error)
    for _ in range(TRIES):
        try:
            libc.syscall(number, pidfd, 0)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                continue
            return OUTCOMES.get(error.errno or 0) or f"process_mrelease: {os.strerror(error.errno or 0)}"
        return "released"
    return "busy"
