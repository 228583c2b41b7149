"""Owns the numbers of the system calls that Python does not wrap, and one way to make them.

Numbers: include/uapi/asm-generic/unistd.h, arch/arm/tools/syscall.tbl, arch/x86/entry/syscalls (Linux 6.12).
From 424 up a call has the same number everywhere but on alpha and mips.
"""

from __future__ import annotations

import os
import sys

from lmkd.errors import KernelInterfaceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SAME_EVERYWHERE = (
    ("pidfd_send_signal", 424),
    ("pidfd_open", 434),
    ("process_madvise", 440),
    ("process_mrelease", 448),
)
_PERF_EVENT_OPEN = (("arm", 364), ("aarch64", 241), ("x86_64", 298), ("i386", 336), ("riscv", 241))
_OTHER_BASE = ("mips", "alpha")
RTLD_NOW = 2
_BITS_32_MAX = 2**31 - 1


def abi_of(machine: str, pointer_max: int) -> str:
    """The call table in use: ``arm``, ``aarch64``, ``x86_64``, ``i386``, ``riscv``, or ``machine`` itself.

    ``pointer_max`` is sys.maxsize: a 32-bit Python on a 64-bit kernel (a usual Raspberry Pi image) has
    ``machine`` aarch64, and yet the table of 32-bit ARM.
    """
    is_32_bit = pointer_max <= _BITS_32_MAX
    if machine.startswith("arm") or (machine.startswith("aarch64") and is_32_bit):
        return "arm" if is_32_bit else "aarch64"
    if machine in ("x86_64", "i386", "i486", "i586", "i686"):
        return "i386" if is_32_bit else "x86_64"
    return "riscv" if machine.startswith("riscv") else machine


def number_of(name: str, abi: str | None = None) -> int:
    """The number of call ``name`` on ``abi`` (default: our own); KernelInterfaceError when not known."""
    table = abi_of(os.uname().machine, sys.maxsize) if abi is None else abi
    numbers = dict(_SAME_EVERYWHERE) if not table.startswith(_OTHER_BASE) else {}
    perf = dict(_PERF_EVENT_OPEN).get(table)
    if perf is not None:
        numbers["perf_event_open"] = perf
    if name not in numbers:
        raise KernelInterfaceError(f"{name}: its system call number on {table} is not known to lmkd")
    return numbers[name]


class Libc:
    """The C library with errno kept; make one and keep it (each one costs a few kilobytes and is not collected).

    Made of what ``ctypes`` is made of: the package itself costs each resident process half a megabyte (armhf).
    """

    def __init__(self) -> None:
        import _ctypes

        class Long(_ctypes._SimpleCData):  # type: ignore[type-arg]
            _type_ = "l"

        class Function(_ctypes.CFuncPtr):
            _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
            _restype_ = Long

        class Library:
            _handle = _ctypes.dlopen(None, RTLD_NOW)  # type: ignore[arg-type]

        self._get_errno, self._set_errno = _ctypes.get_errno, _ctypes.set_errno
        self._long, self._function, self._library = Long, Function, Library()
        self._known: dict[str, Any] = {}
        """A function is looked for once: that goes through the tables of all libraries, pages that stay (40 KiB)."""

    def syscall(self, number: int, *arguments: Any) -> int:
        """Make call ``number``; int arguments go as long, bytes as their address, None as a null pointer.

        Returns what the kernel returned; raises OSError with the errno.
        """
        return self.call("syscall", number, *arguments)

    def call(self, function: str, *arguments: Any) -> int:
        """Call a C function that answers -1 and errno on failure; OSError then, with the function's name."""
        converted = [self._long(item) if isinstance(item, int) else item for item in arguments]
        self._set_errno(0)
        known = self._known.get(function)
        if known is None:
            known = self._known[function] = self._function((function, self._library))  # type: ignore[arg-type]
        result: Any = known(*converted)
        answer = int(getattr(result, "value", result))
        # A function that returns int leaves the upper half of a long undefined on 64-bit machines.
        if answer & 0xFFFFFFFF == 0xFFFFFFFF:
            number = self._get_errno()
            if number:
                raise OSError(number, f"{function}: {os.strerror(number)}")
        return answer


def syscall(number: int, *arguments: Any) -> int:
    """One call for who needs only one: see ``Libc.syscall``; who calls often keeps a ``Libc``."""
    return Libc().syscall(number, *arguments)
