"""Owns /proc/PID/mountinfo (Documentation/filesystems/proc.rst, 3.5): which file systems a namespace has, and where."""

from __future__ import annotations

import os

from lmkd.kernel.pinned import read_whole
from lmkd.values import value

BYTES_MAX = 1 << 20
_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\"))
"""fs/proc_namespace.c, mangle: the backslash last, for it begins the others."""
_DEVICE, _PATH, _OPTIONAL = 2, 4, 6
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs", "autofs", "virtiofs")


@value
class MountPoint:
    """One mount: its id, the device as ``st_dev`` has it, the path, the type of the file system."""

    number: int
    device: int
    path: str
    kind: str

    @property
    def may_hang(self) -> bool:
        """Does looking at a file on it ask somebody who may never answer?"""
        return self.kind in _REMOTE or self.kind.startswith("fuse")


def parse_mountinfo(text: str) -> tuple[MountPoint, ...]:
    """Every line that is one, in the order of mounting: of two at one path the later is seen. Escapes are undone."""
    found = []
    for line in text.split("\n"):
        fields = line.split(" ")
        major, _, minor = fields[_DEVICE].partition(":") if len(fields) > _OPTIONAL else ("", "", "")
        if "-" not in fields[_OPTIONAL:-1] or not (fields[0].isdecimal() and major.isdecimal() and minor.isdecimal()):
            continue
        path = fields[_PATH]
        for escape, character in _ESCAPES:
            path = path.replace(escape, character)
        kind = fields[fields.index("-", _OPTIONAL) + 1]
        try:
            found.append(MountPoint(int(fields[0]), os.makedev(int(major), int(minor)), path, kind))
        except OverflowError:
            continue
    return tuple(found)


def read_mountinfo(proc: str, pid: int | str = "self") -> tuple[MountPoint, ...]:
    """The mounts that a process sees; none when it is gone."""
    data = read_whole(f"{proc}/{pid}/mountinfo", BYTES_MAX) or b""
    return parse_mountinfo(data.decode("utf-8", "surrogateescape"))
