"""Owns where cgroup2 is mounted and which of its files the kernel offers; only looks, makes no group.

Source: Documentation/admin-guide/cgroup-v2.rst. cgroup.kill, cgroup.freeze and memory.reclaim are not in the
root group, so a child has to be looked at.
"""

from __future__ import annotations

import os

from lmkd.errors import KernelInterfaceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots


def parse_cgroup2_mount(text: str) -> str | None:
    """The first cgroup2 mount point in a /proc/mounts text; None without one."""
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) > 2 and words[2] == "cgroup2":
            return words[1].replace("\\040", " ")
    return None


def find_cgroup2(roots: Roots) -> str | None:
    """The path of the cgroup2 root, below ``roots.sys`` when mounted in /sys; None when not mounted."""
    from lmkd.kernel.files import read_text  # the helper needs the parsing alone

    try:
        mount = parse_cgroup2_mount(read_text(roots.proc / "self" / "mounts"))
    except KernelInterfaceError:
        return None
    if mount is None:
        return None
    return str(roots.sys / mount.removeprefix("/sys/")) if mount.startswith("/sys/") else mount


def has_file(cgroup2: str, name: str) -> tuple[bool, str]:
    """Whether the root group or a child of it has the file ``name``; else why that is not known."""
    try:
        with os.scandir(cgroup2) as entries:
            children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        return False, str(error)
    if any(os.access(f"{folder}/{name}", os.F_OK) for folder in (cgroup2, *children)):
        return True, ""
    return False, f"no {name} in any group" if children else "not known: there is no child group to look at"
