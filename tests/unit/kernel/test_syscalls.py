"""System call numbers: right for the process, which is not always of the kernel's kind."""

from __future__ import annotations

import errno
import os

import pytest

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.syscalls import Libc, abi_of, number_of, syscall

MAX_32, MAX_64 = 2**31 - 1, 2**63 - 1


@pytest.mark.parametrize(
    ("machine", "pointer_max", "abi"),
    [
        ("armv7l", MAX_32, "arm"),
        ("armv6l", MAX_32, "arm"),
        ("armv8l", MAX_32, "arm"),
        ("aarch64", MAX_64, "aarch64"),
        ("aarch64", MAX_32, "arm"),
        ("x86_64", MAX_64, "x86_64"),
        ("x86_64", MAX_32, "i386"),
        ("i686", MAX_32, "i386"),
        ("riscv64", MAX_64, "riscv"),
        ("mips", MAX_32, "mips"),
    ],
)
def test_the_table_is_that_of_the_process(machine: str, pointer_max: int, abi: str) -> None:
    assert abi_of(machine, pointer_max) == abi


@pytest.mark.parametrize(
    ("abi", "number"), [("arm", 364), ("aarch64", 241), ("x86_64", 298), ("i386", 336), ("riscv", 241)]
)
def test_perf_event_open_differs_by_machine(abi: str, number: int) -> None:
    assert number_of("perf_event_open", abi) == number


@pytest.mark.parametrize("abi", ["arm", "aarch64", "x86_64", "i386", "riscv", "s390x"])
def test_new_calls_have_one_number(abi: str) -> None:
    assert (number_of("pidfd_open", abi), number_of("process_mrelease", abi)) == (434, 448)


@pytest.mark.parametrize(
    ("name", "abi"), [("pidfd_open", "mips"), ("perf_event_open", "s390x"), ("nonsense", "arm")]
)
def test_a_number_that_is_not_known_is_an_error(name: str, abi: str) -> None:
    with pytest.raises(KernelInterfaceError, match=f"{name}: .* on {abi} is not known"):
        number_of(name, abi)


def test_a_call_returns_its_value_or_raises_with_the_errno() -> None:
    descriptor = Libc().syscall(number_of("pidfd_open"), os.getpid(), 0)
    os.close(descriptor)
    with pytest.raises(OSError, match="syscall") as caught:
        syscall(number_of("pidfd_open"), -1, 0)
    assert caught.value.errno == errno.EINVAL


def test_a_function_is_looked_for_once() -> None:
    libc = Libc()
    found = []
    library_of = libc._function

    def look(what: tuple[str, object]) -> object:
        found.append(what[0])
        return library_of(what)  # type: ignore[arg-type]

    libc._function = look  # type: ignore[assignment]
    assert [libc.call("getpid"), libc.call("getppid"), libc.call("getpid")] == [os.getpid(), os.getppid(), os.getpid()]
    assert found == ["getpid", "getppid"]


def test_a_function_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        Libc().call("no_such_function_of_lmkd")
