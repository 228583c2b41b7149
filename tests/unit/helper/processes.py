"""Real processes that hold real files, on the machine's own tmpfs: what /proc tells of them cannot be made up."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHM = "/dev/shm"
MIB = 1 << 20


@contextmanager
def holding(*actions: Callable[[], object]) -> Iterator[list[int]]:
    """A child for each action, which it has done (and keeps the result of) when the block begins."""
    children = []
    try:
        for action in actions:
            children.append(_child(action))
        yield children
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _drop_inherited() -> None:
    """Shared anonymous memory of other tests in this process would be the child's as well, and be counted."""
    unmap = ctypes.CDLL(None).munmap
    unmap.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
    with open("/proc/self/maps") as maps:
        lines = [line.split() for line in maps]
    for fields in lines:
        if fields[1].endswith("s") and fields[5:6] == ["/dev/zero"]:
            start, end = (int(part, 16) for part in fields[0].split("-"))
            unmap(start, end - start)


def _child(action: Callable[[], object]) -> int:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        kept: object = None
        try:
            _drop_inherited()
            kept = action()
            os.write(writer, b"x")
        finally:
            os.close(writer)
            while kept is not None:
                signal.pause()
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b"x"
    os.close(reader)
    return child
