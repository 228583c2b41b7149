"""The helper's rehearsal leaves nothing behind."""

from __future__ import annotations

import os

import pytest

from lmkd.helper.rehearse import rehearse
from lmkd.kernel.syscalls import Libc


@pytest.mark.parametrize("pids", [[], [os.getpid()]])
def test_the_rehearsal_leaves_neither_a_child_nor_a_descriptor(pids: list[int]) -> None:
    before = os.listdir("/proc/self/fd")
    rehearse(Libc(), "/proc", os.sysconf("SC_PAGE_SIZE"), pids)
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
