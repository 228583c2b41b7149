"""Reaping by the helper: a victim that does not get to free its own memory has it freed, in ordinary time."""

from __future__ import annotations

import errno
import os

from lmkd.kernel.mrelease import mrelease
from lmkd.kernel.syscalls import Libc


def reap(libc: Libc, pid: int) -> str:
    """Release the victim's memory. Returns what came of it, for the record."""
    try:
        descriptor = os.pidfd_open(pid)
    except AttributeError:
        return "this Python has no pidfd_open"
    except OSError as error:
        return "gone" if error.errno == errno.ESRCH else f"pidfd_open: {error.strerror}"
    try:
        return mrelease(libc, descriptor)
    finally:
        os.close(descriptor)
