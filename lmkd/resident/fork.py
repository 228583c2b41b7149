"""Forking the helper, first from a process that has loaded little more than the plan: each keeps only its own code."""

from __future__ import annotations

import _signal
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.guard.exchange import Exchange
    from lmkd.plan import Plan


def fork_helper(plan: Plan, exchange: Exchange) -> int:
    """Start the helper; its process id. OSError when the kernel has no process to give."""
    guard_pid = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        _signal.set_wakeup_fd(-1)
        for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP):
            _signal.signal(number, _signal.SIG_IGN)
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        from lmkd.helper.main import helper_main

        helper_main(plan, exchange, guard_pid)
        code = 0
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def await_child(pid: int, limit_ms: float) -> None:
    """Wait for a child to end, and kill it when it takes longer."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError):  # no pidfd here: nothing can be waited for with a limit
        os.kill(pid, _signal.SIGKILL)
    else:
        watch = select.poll()
        watch.register(descriptor, select.POLLIN)
        if not watch.poll(limit_ms):
            os.kill(pid, _signal.SIGKILL)
        os.close(descriptor)
    os.waitpid(pid, 0)


def write_file(path: str, data: bytes) -> None:
    """Write to a kernel file; one that is missing or refuses is left as it is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, data)
    except OSError:
        return
    finally:
        os.close(descriptor)
