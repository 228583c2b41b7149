"""Owns the live part of probing the kernel: harmless calls whose answer tells whether a feature is there.

Each method returns None where the feature works, else a short reason, so that a test's fake is a table.
"""

from __future__ import annotations

import errno
import os
import struct

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import AnyPath
    from lmkd.kernel.syscalls import Libc

_NO_DESCRIPTOR = -1
_MADV_COLD = 20
_PERF_ATTR = struct.Struct("=IIQQQQQ72x")
_PERF_TYPE_SOFTWARE = 1
_PERF_COUNT_SW_PAGE_FAULTS = 2
_PERF_DISABLED = 1
_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = 1
_CN_VAL_PROC = 1
_PROC_CN_MCAST_LISTEN = 1
_ANSWER_S = 0.05
_LOCKED_MIN_KIB = 32 * 1024
_OOM_ADJ_MIN = -1000


def psi_trigger_texts() -> tuple[tuple[str, str], ...]:
    """The triggers to try, best first: without CAP_SYS_RESOURCE only multiples of 2 s work (Linux 6.4)."""
    return (
        ("some 150000 1000000", "any window"),
        ("some 150000 2000000", "windows in multiples of 2 s only"),
    )


def proc_listen_message(pid: int, operation: int) -> bytes:
    """A netlink message to the proc connector (include/uapi/linux/cn_proc.h): nlmsghdr, cn_msg, operation."""
    body = struct.pack("=IIIIHHI", _CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0, operation)
    return struct.pack("=IHHII", 16 + len(body), 3, 0, 0, pid) + body


class ProbeCalls:
    """The kernel's answers for this process."""

    def __init__(self) -> None:
        self._libc: Libc | None = None

    def _syscall(self, name: str, *arguments: object) -> int:
        from lmkd.kernel.syscalls import Libc, number_of

        self._libc = self._libc or Libc()
        return self._libc.syscall(number_of(name), *arguments)

    def _answer(self, name: str, expected: tuple[int, ...], *arguments: object) -> str | None:
        # A call that checks its arguments is there; ENOSYS, and EPERM of a seccomp filter, say that it is
        # not.
        try:
            result = self._syscall(name, *arguments)
        except KernelInterfaceError as error:
            return str(error)
        except OSError as error:
            return None if error.errno in expected else errno_text(error)
        if name in ("pidfd_open", "perf_event_open"):
            os.close(result)
        return None

    def pidfd_open(self) -> str | None:
        """pidfd_open(2), Linux 5.3: on ourselves."""
        return self._answer("pidfd_open", (), os.getpid(), 0)

    def pidfd_send_signal(self) -> str | None:
        """pidfd_send_signal(2), Linux 5.1: on no descriptor, which a kernel with it answers with EBADF."""
        return self._answer("pidfd_send_signal", (errno.EBADF,), _NO_DESCRIPTOR, 0, None, 0)

    def process_madvise(self) -> str | None:
        """process_madvise(2), Linux 5.10: on no descriptor."""
        return self._answer("process_madvise", (errno.EBADF,), _NO_DESCRIPTOR, None, 0, _MADV_COLD, 0)

    def process_mrelease(self) -> str | None:
        """process_mrelease(2), Linux 5.15: on no descriptor."""
        return self._answer("process_mrelease", (errno.EBADF,), _NO_DESCRIPTOR, 0)

    def perf_page_faults(self) -> str | None:
        """perf_event_open(2): the counter of page faults on processor 0, disabled, closed at once."""
        import ctypes

        attr = ctypes.create_string_buffer(
            _PERF_ATTR.pack(
                _PERF_TYPE_SOFTWARE, _PERF_ATTR.size, _PERF_COUNT_SW_PAGE_FAULTS, 0, 0, 0, _PERF_DISABLED
            )
        )
        return self._answer("perf_event_open", (), attr, -1, 0, -1, 0)

    def psi_trigger(self, path: AnyPath) -> tuple[bool, str]:
        """Whether a trigger can be armed (it goes with its descriptor), and what kind or why not."""
        reason = ""
        for text, kind in psi_trigger_texts():
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    os.write(descriptor, text.encode() + b"\0")
                    return True, kind
                finally:
                    os.close(descriptor)
            except OSError as error:
                reason = errno_text(error)
        return False, reason

    def proc_connector(self) -> str | None:
        """Listen to process events for a moment: a kernel with CONFIG_PROC_EVENTS acknowledges at once."""
        import select
        import socket

        try:
            with socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR
            ) as link:
                link.bind((0, _CN_IDX_PROC))
                own = link.getsockname()[0]
                link.send(proc_listen_message(own, _PROC_CN_MCAST_LISTEN))
                answered = bool(select.select([link], [], [], _ANSWER_S)[0])
                link.send(proc_listen_message(own, _PROC_CN_MCAST_LISTEN + 1))
        except OSError as error:
            return errno_text(error)
        return None if answered else "no answer (CONFIG_PROC_EVENTS)"

    def memory_lock(self) -> str | None:
        """Whether RLIMIT_MEMLOCK alone lets the guard lock its memory."""
        import resource

        limit_bytes = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
        if limit_bytes == resource.RLIM_INFINITY or limit_bytes >= _LOCKED_MIN_KIB * 1024:
            return None
        return f"RLIMIT_MEMLOCK is {limit_bytes // 1024} KiB"

    def real_time(self) -> str | None:
        """Take the lowest real-time priority and give it back: a cgroup v1 may refuse it even to root."""
        try:
            policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            os.sched_setscheduler(0, policy, parameter)
        except OSError as error:
            return errno_text(error)
        return None

    def lower_oom_score_adj(self, path: AnyPath) -> str | None:
        """Lower our own oom_score_adj by one and put it back."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                text = os.read(descriptor, 16)
                os.pwrite(descriptor, b"%d" % max(_OOM_ADJ_MIN, int(text) - 1), 0)
                os.pwrite(descriptor, text, 0)
            finally:
                os.close(descriptor)
        except ValueError:
            return "it is not a number"
        except OSError as error:
            return errno_text(error)
        return None

    def libudev(self) -> str | None:
        """Whether pyudev and its C library can be loaded; neither stays in use."""
        import ctypes
        from importlib.util import find_spec

        if find_spec("pyudev") is None:
            return "pyudev is not installed"
        try:
            ctypes.CDLL("libudev.so.1")
        except OSError:
            return "libudev.so.1 is not installed"
        return None
