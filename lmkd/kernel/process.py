"""One process as /proc shows it: identity, sizes, how it is matched by rules. A process that is gone is None."""

from __future__ import annotations

import os

from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once
from lmkd.values import value

STAT_START_FIELD = 19
"""Index of the start time among the fields after the command's closing parenthesis (proc(5), field 22)."""


@value
class Stat:
    """Identity from /proc/PID/stat; ``start_ticks`` with the pid names a process for good."""

    comm: str
    state: str
    parent: int
    start_ticks: int


@value
class Sizes:
    """Memory of a process in KiB. ``anon_kib`` is what its death returns at most, ``shmem_kib`` is what it does not."""

    anon_kib: int
    shmem_kib: int
    swapped_kib: int
    user: int
    name: str


def parse_stat(data: bytes) -> Stat | None:
    """Bytes of /proc/PID/stat. The command may hold spaces, parentheses and newlines: the last ``)`` ends it."""
    opening, closing = data.find(b"("), data.rfind(b")")
    if opening < 0 or closing < opening:
        return None
    fields = data[closing + 1 :].split()
    if len(fields) <= STAT_START_FIELD or not fields[1].isdigit() or not fields[STAT_START_FIELD].isdigit():
        return None
    comm = data[opening + 1 : closing].decode("utf-8", "replace")
    return Stat(comm, fields[0].decode("ascii", "replace"), int(fields[1]), int(fields[STAT_START_FIELD]))


def parse_status(data: bytes) -> Sizes | None:
    """Bytes of /proc/PID/status; None for a kernel thread or a zombie, which have no memory lines."""
    anon = find_number(data, b"RssAnon:")
    user = find_number(data, b"Uid:")
    if anon is None or user is None:
        return None
    name_end = data.find(b"\n")
    name = data[len(b"Name:") : name_end].strip().decode("utf-8", "replace")
    shmem, swapped = find_number(data, b"RssShmem:"), find_number(data, b"VmSwap:")
    return Sizes(
        anon, shmem or 0, swapped or 0, user, name
    )  # VmSwap is absent without CONFIG_SWAP: nothing swapped


def read_stat(proc: str, pid: int) -> Stat | None:
    """Identity of a process, None when it is gone."""
    data = read_once(f"{proc}/{pid}/stat")
    return parse_stat(data) if data else None


def read_sizes(proc: str, pid: int) -> Sizes | None:
    """Sizes of a process, None when it is gone or has no memory."""
    data = read_once(f"{proc}/{pid}/status")
    return parse_status(data) if data else None


def read_cmdline(proc: str, pid: int) -> str:
    """The command line with single spaces for the NUL bytes; empty for a kernel thread or a process that is gone."""
    data = read_once(f"{proc}/{pid}/cmdline", 4096) or b""
    return data.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")


def read_exe(proc: str, pid: int) -> str:
    """The executable's path without the kernel's " (deleted)"; empty when it cannot be read."""
    try:
        return os.readlink(f"{proc}/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def read_cgroup(proc: str, pid: int) -> str:
    """The path in the unified hierarchy, else in the memory controller's; "/" when there is none."""
    data = (read_once(f"{proc}/{pid}/cgroup", 4096) or b"").decode("utf-8", "replace")
    fallback = "/"
    for line in data.split("\n"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            return path or "/"
        if "memory" in controllers.split(","):
            fallback = path or "/"
    return fallback


def read_oom_score_adj(proc: str, pid: int) -> int | None:
    """The process's own oom_score_adj, -1000..1000; None when it is gone."""
    data = read_once(f"{proc}/{pid}/oom_score_adj", 16)
    try:
        return int(data) if data else None
    except ValueError:
        return None


def list_pids(proc: str) -> list[int]:
    """All process ids, ascending."""
    return sorted(int(name) for name in os.listdir(proc) if name.isdigit())
