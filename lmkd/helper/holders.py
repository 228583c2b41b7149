"""Who holds memory that no death returns: files on tmpfs, their holders, and the process that fills them."""

from __future__ import annotations

import os
import time

from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once, read_whole
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.guard.exchange import Exchange

APART_S = 0.04
HOLDERS_MAX = 5
MOUNTS_BYTES_MAX = 1 << 20
_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\"))
"""fs/proc_namespace.c, mangle: the backslash last, for it begins the others."""


@value
class Mount:
    """One tmpfs and what it holds, in KiB."""

    path: str
    used_kib: int


@value
class Holders:
    """The fullest tmpfs, who has files of it open, and who of these writes (0: nobody was seen to)."""

    mount: Mount | None
    names: tuple[str, ...]
    writer: int


def parse_mounts(text: str) -> tuple[tuple[str, str], ...]:
    """(mount point, type) of each line of /proc/mounts; octal escapes (space, tab, newline, #, backslash) undone."""
    mounts = []
    for line in text.split("\n"):
        fields = line.split(" ")
        if len(fields) >= 3:
            path = fields[1]
            for escape, character in _ESCAPES:
                path = path.replace(escape, character)
            mounts.append((path, fields[2]))
    return tuple(mounts)


def mount_of(path: str, points: tuple[str, ...]) -> str:
    """The mount point that a path lies below: the longest; empty for what is no path (a socket, a pipe)."""
    holding = [point for point in points if path == point or path.startswith(point.rstrip("/") + "/")]
    return max(holding, key=len, default="")


def find_holders(proc: str, pids: list[int]) -> Holders:
    """Look at every tmpfs and at the open files of ``pids``. Takes some 40 ms: the helper's work, not the guard's."""
    text = (read_whole(f"{proc}/self/mounts", MOUNTS_BYTES_MAX) or b"").decode("utf-8", "surrogateescape")
    mounts = parse_mounts(text)
    measured = [_measure(path) for path, kind in mounts if kind == "tmpfs"]
    full = max(
        (mount for mount in measured if mount is not None), key=lambda mount: mount.used_kib, default=None
    )
    points = tuple({path for path, _kind in mounts})
    holding = []
    for pid in pids:
        paths = _open_paths(proc, pid)
        if any(path.startswith("/memfd:") or (full and mount_of(path, points) == full.path) for path in paths):
            holding.append(pid)
    names = tuple(f"{_comm(proc, pid)}[{pid}]" for pid in holding[:HOLDERS_MAX])
    return Holders(full, names, _writer(proc, holding))


def explain(exchange: Exchange, proc: str, pids: list[int]) -> None:
    """Tell the guard who fills a tmpfs, and the record who holds it."""
    holders = find_holders(proc, pids)
    exchange.set_tmpfs_writer(holders.writer)
    fields = (
        ("reason", "memory is held by files on tmpfs: no death returns it"),
        ("mount", holders.mount.path if holders.mount else None),
        ("used_kib", holders.mount.used_kib if holders.mount else None),
        ("holders", holders.names),
        ("writer_pid", holders.writer or None),
    )
    exchange.post("futile", fields, "warning")


def _measure(path: str) -> Mount | None:
    try:
        usage = os.statvfs(path)
    except OSError:
        return None
    return Mount(path, (usage.f_blocks - usage.f_bfree) * usage.f_frsize // 1024)


def _open_paths(proc: str, pid: int) -> list[str]:
    directory = f"{proc}/{pid}/fd"
    paths = []
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    for name in names:
        try:
            paths.append(os.readlink(f"{directory}/{name}"))
        except OSError:
            continue
    return paths


def _writer(proc: str, pids: list[int]) -> int:
    """The process whose write(2) calls moved most in a short while (wchar in /proc/PID/io: bytes passed to write)."""
    before = {pid: _written(proc, pid) for pid in pids}
    time.sleep(APART_S)
    best, most = 0, 0
    for pid, first in before.items():
        last = _written(proc, pid)
        if first is not None and last is not None and last - first > most:
            best, most = pid, last - first
    return best


def _written(proc: str, pid: int) -> int | None:
    data = read_once(f"{proc}/{pid}/io")
    return find_number(data, b"wchar:") if data else None


def _comm(proc: str, pid: int) -> str:
    return (read_once(f"{proc}/{pid}/comm", 64) or b"?").decode("utf-8", "replace").strip()
