"""What came of releasing a victim's memory, for the record."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from lmkd.helper.reap import reap
from lmkd.kernel.mrelease import TRIES, mrelease
from lmkd.kernel.syscalls import Libc


class ScriptedLibc(Libc):
    """Answers process_mrelease with these errnos in turn (0: done), the last one for ever."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)
        self.calls = 0

    def syscall(self, number: int, *arguments: Any) -> int:
        self.calls += 1
        answer = self.numbers.pop(0) if len(self.numbers) > 1 else self.numbers[0]
        if answer:
            raise OSError(answer, os.strerror(answer))
        return 0


@pytest.mark.parametrize(
    ("numbers", "outcome", "calls"),
    [
        ((0,), "released", 1),
        ((errno.EAGAIN, 0), "released", 2),
        ((errno.EAGAIN,), "busy", TRIES),
        ((errno.ESRCH,), "gone", 1),
        ((errno.EINVAL,), "not dying", 1),
        ((errno.ENOSYS,), "this kernel has no process_mrelease", 1),
        ((errno.EPERM,), "process_mrelease: Operation not permitted", 1),
    ],
)
def test_every_answer_of_the_kernel_has_its_text(numbers: tuple[int, ...], outcome: str, calls: int) -> None:
    libc = ScriptedLibc(*numbers)
    assert mrelease(libc, 7) == outcome
    assert libc.calls == calls


def test_the_helper_opens_and_closes_the_victims_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    libc = ScriptedLibc(0)
    assert reap(libc, os.getpid()) == "released"
    assert (libc.calls, os.listdir("/proc/self/fd")) == (1, before)


def test_a_victim_that_is_gone_is_not_asked_for() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    libc = ScriptedLibc(0)
    assert (reap(libc, child), libc.calls) == ("gone", 0)


def test_a_victim_that_lives_is_not_released() -> None:
    assert reap(Libc(), os.getpid()) in ("not dying", "this kernel has no process_mrelease", "gone")
