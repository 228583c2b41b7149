"""The last word: that the guard has died is told to the kernel's log, which is there when nothing else is.

Loaded when it is needed, so that it costs nothing before.
"""

from __future__ import annotations

import os

DAEMON_ERROR = 3 << 3 | 3
"""Facility and severity (syslog(3)), as Documentation/ABI/testing/dev-kmsg has them."""
TEXT = "the guard has died: nobody guards this board's memory until lmkd is started again"


def tell(proc: str) -> None:
    """Write it to dev/kmsg beside ``proc``; where that is not allowed nobody can be told."""
    path = proc.rpartition("/")[0] + "/dev/kmsg"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"<{DAEMON_ERROR}>lmkd: {TEXT}\n".encode())
        finally:
            os.close(descriptor)
    except OSError:
        return
