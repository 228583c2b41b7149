"""What came of releasing a victim's memory, for the record."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import pytest

from lmkd.helper.reap import reap
from lmkd.kernel.memlock import clean_mappings, shared_runs, writable_mappings
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


SMAPS = b"""\
00010000-003e1000 r-xp 00000000 fe:00 1234       /usr/bin/python3.11
Size:               3908 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
003f0000-003f1000 r--p 003d0000 fe:00 1234       /usr/bin/python3.11
Anonymous:             4 kB
003f1000-00480000 rw-p 003d1000 fe:00 1234       /usr/bin/python3.11
Anonymous:             0 kB
01000000-01100000 rw-p 00000000 00:00 0          [heap]
Anonymous:             0 kB
b6f00000-b6f01000 r-xp 00000000 00:00 0          [vdso]
Anonymous:             0 kB
b6f10000-b6f30000 r--p 00000000 fe:00 99         /usr/lib/a file with spaces.so (deleted)
Anonymous:             0 kB
"""


def test_only_whole_unchanged_file_mappings_that_may_not_be_written_are_forgotten() -> None:
    assert clean_mappings(SMAPS) == [(0x10000, 0x3E1000 - 0x10000), (0xB6F10000, 0x20000)]


@pytest.mark.parametrize("smaps", [b"", b"\n", b"junk", SMAPS[:60]])
def test_an_odd_map_has_nothing_to_forget(smaps: bytes) -> None:
    assert clean_mappings(smaps) == []
    assert writable_mappings(smaps) == []


def test_anonymous_memory_that_may_be_written_is_found() -> None:
    assert writable_mappings(SMAPS) == [(0x1000000, 0x100000)]


def test_shared_pages_of_our_own_come_in_runs() -> None:
    present, of_file, exclusive = 1 << 63, 1 << 61, 1 << 56
    pages = (present, present | 7, 0, present | exclusive, present, present | of_file, 1 << 62, present)
    entries = b"".join(page.to_bytes(8, sys.byteorder) for page in pages)
    assert shared_runs(entries, 0x10000, 4096) == [(0x10000, 8192), (0x14000, 4096), (0x17000, 4096)]
    assert shared_runs(b"", 0x10000, 4096) == []
