"""Owns cgroup.freeze (Linux 5.2, Documentation/admin-guide/cgroup-v2.rst): a group that holds one application alone.

A frozen group still takes SIGKILL. The file of a process's group is looked at, never made; the root group has none.
"""

from __future__ import annotations

import errno
import os

from lmkd.kernel.cgroup_mount import parse_cgroup2_mount
from lmkd.kernel.pinned import read_once, read_whole
from lmkd.kernel.process import read_cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

LIST_BYTES = 65536


def find_mount(proc: str) -> str:
    """Where cgroup2 is mounted; empty when it is not."""
    text = (read_whole(f"{proc}/self/mounts", LIST_BYTES) or b"").decode("utf-8", "surrogateescape")
    return parse_cgroup2_mount(text) or ""


def own_group(proc: str, mount: str, pid: int, own: Container[int]) -> str:
    """The path of the group that holds ``pid`` and else only ``own``; empty when it shares it, or has none to freeze.

    Groups below it would be frozen with it, so one that has any is shared.
    """
    path = read_cgroup(proc, pid) if mount else "/"
    if not is_path(path):
        return ""
    folder = mount + path
    members = (read_whole(f"{folder}/cgroup.procs", LIST_BYTES) or b"").split()
    if b"%d" % pid not in members or not all(item.isdigit() and int(item) in own for item in members):
        return ""
    try:
        with os.scandir(folder) as entries:
            nested = any(entry.is_dir(follow_symlinks=False) for entry in entries)
    except OSError:
        return ""
    return path if not nested and is_frozen(mount, path) is not None else ""


def is_path(path: str) -> bool:
    """Can this be a group other than the root? What comes out of a file is not trusted to stay below the mount."""
    return len(path) > 1 and path.startswith("/") and ".." not in path.split("/")


def is_frozen(mount: str, path: str) -> bool | None:
    """Was the group told to freeze? None: it has no such file, or is gone."""
    data = read_once(f"{mount}{path}/cgroup.freeze", 16)
    return data.strip() == b"1" if data else None


def freeze(mount: str, path: str, frozen: bool) -> str:
    """Freeze or thaw the group. Empty when told so, else why not; a group that is gone needs no thawing."""
    try:
        descriptor = os.open(f"{mount}{path}/cgroup.freeze", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"1" if frozen else b"0")
        finally:
            os.close(descriptor)
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENODEV)
        return "" if gone and not frozen else f"cgroup.freeze: {error.strerror}"
    return ""
