"""One process as /proc shows it: identity, sizes, how it is matched by rules. A process that is gone is None."""

from __future__ import annotations

import os

from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once
from lmkd.values import value

STAT_FLAGS_FIELD, STAT_CPU_FIELD, STAT_START_FIELD = 6, 11, 19
"""Index among the fields after the command's closing parenthesis (proc(5), fields 9, 14 and 22)."""
PF_KTHREAD = 0x00200000
"""Flag of a kernel thread (include/linux/sched.h); a parent of 2 tells nothing in a container of its own."""


@value
class Stat:
    """Identity from /proc/PID/stat; ``start_ticks`` with the pid names a process for good."""

    comm: str
    state: str
    parent: int
    start_ticks: int
    kernel_thread: bool = False
    cpu_ticks: int = 0
    """Processor time of all its threads, user and system, in clock ticks (proc(5), fields 14 and 15)."""


@value
class Sizes:
    """Memory of a process in KiB. ``anon_kib`` is what its death returns at most, ``shmem_kib`` is what it does not.

    ``user`` is the effective uid, ``name`` the command as it is, without the escapes of /proc/PID/status.
    """

    anon_kib: int
    shmem_kib: int
    swapped_kib: int
    user: int
    name: str
    activity: int | None = None
    """Grows when it does anything: its voluntary context switches; None where they do not tell: for one with threads
    (this file counts only the first one's), and for one that runs (it may compute on and on and never wait)."""
    tables_kib: int = 0
    """Its page tables (VmPTE), which only it uses; they stay when its pages are swapped out."""


def parse_stat(data: bytes) -> Stat | None:
    """Bytes of /proc/PID/stat. The command may hold spaces, parentheses and newlines: the last ``)`` ends it."""
    opening, closing = data.find(b"("), data.rfind(b")")
    if opening < 0 or closing < opening:
        return None
    fields = data[closing + 1 :].split()
    if len(fields) <= STAT_START_FIELD:
        return None
    parent, flags, start = fields[1], fields[STAT_FLAGS_FIELD], fields[STAT_START_FIELD]
    # A start time that ends the text may be cut off: many fields follow it on every kernel.
    if not (parent.isdigit() and flags.isdigit() and start.isdigit()) or len(fields) == STAT_START_FIELD + 1:
        return None
    comm = data[opening + 1 : closing].decode("utf-8", "replace")
    state = fields[0].decode("ascii", "replace")
    ticks = sum(int(field) for field in fields[STAT_CPU_FIELD : STAT_CPU_FIELD + 2] if field.isdigit())
    return Stat(comm, state, int(parent), int(start), bool(int(flags) & PF_KTHREAD), ticks)


def parse_status(data: bytes) -> Sizes | None:
    """Bytes of /proc/PID/status; None for a kernel thread or a zombie, which have no memory lines."""
    anon = find_number(data, b"RssAnon:")
    user = _effective_uid(data)
    if anon is None or user is None:
        return None
    shmem, swapped = find_number(data, b"RssShmem:"), find_number(data, b"VmSwap:")
    # VmSwap is absent without CONFIG_SWAP: nothing swapped.
    waits = find_number(data, b"Threads:") == 1 and b"\nState:\tR" not in data
    activity = find_number(data, b"voluntary_ctxt_switches:") if waits else None
    tables = find_number(data, b"VmPTE:")
    return Sizes(anon, shmem or 0, swapped or 0, user, _name(data), activity, tables or 0)


def _effective_uid(data: bytes) -> int | None:
    """The second of the four ids: the same that owns /proc/PID, and that ``lmkd ps`` without a daemon goes by."""
    start = data.find(b"\nUid:")
    end = data.find(b"\n", start + 1)
    fields = data[start + len(b"\nUid:") : end].split() if 0 <= start < end else []
    return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else None


def _name(data: bytes) -> str:
    """The Name line; the kernel escapes newline and backslash in it (fs/proc/array.c, proc_task_name)."""
    name = data[: data.find(b"\n")].removeprefix(b"Name:").removeprefix(b"\t")
    pieces = [piece.replace(b"\\n", b"\n") for piece in name.split(b"\\\\")]
    return b"\\".join(pieces).decode("utf-8", "replace")


def read_stat(proc: str, pid: int) -> Stat | None:
    """Identity of a process, None when it is gone."""
    data = read_once(f"{proc}/{pid}/stat")
    return parse_stat(data) if data else None


def catches(data: bytes, signal: int) -> bool:
    """Has the process of these bytes of /proc/PID/status a handler for this signal? (SigCgt, proc(5))"""
    start = data.find(b"\nSigCgt:") + len(b"\nSigCgt:")
    try:
        mask = int(data[start : data.index(b"\n", start)], 16) if start >= len(b"\nSigCgt:") else 0
    except ValueError:
        return False
    return bool(mask >> (signal - 1) & 1)


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
    """The path in the unified hierarchy, else in systemd's, else in the memory controller's; "/" without any."""
    return parse_cgroup(read_once(f"{proc}/{pid}/cgroup", 4096) or b"")


def parse_cgroup(data: bytes) -> str:
    """Bytes of /proc/PID/cgroup to a path; see ``read_cgroup``."""
    paths: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        _number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            paths.update((controller, path) for controller in controllers.split(","))
    return paths.get("") or paths.get("name=systemd") or paths.get("memory") or "/"


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


def read_private_kib(proc: str, pid: int, anon_kib: int) -> int:
    """Memory that is this process's alone (smaps_rollup, Linux 4.14): what its death alone returns."""
    data = read_once(f"{proc}/{pid}/smaps_rollup")
    if not data:
        return anon_kib
    clean, dirty = find_number(data, b"Private_Clean:"), find_number(data, b"Private_Dirty:")
    return anon_kib if clean is None or dirty is None else min(anon_kib, clean + dirty)
