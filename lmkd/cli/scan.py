"""The kill order without a running lmkd: one look at /proc, judged by the rules of the configuration."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lmkd import matching
from lmkd.helper.gain import PROCESS_KIB
from lmkd.model import PRIORITY_FOREGROUND, PRIORITY_NEVER, class_of
from lmkd.values import value

if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.config import Config
    from lmkd.kernel.files import Roots

OWN_RULE = "own oom_score_adj"
INIT_RULE = "process 1"
_COMM_LIMIT_BYTES = 15


@value
class Process:
    """One process as /proc shows it; sizes in KiB. None: it could not be read."""

    pid: int
    comm: str
    exe: str | None
    cmdline: str | None
    user: str | None
    uid: int | None
    cgroup: str | None
    oom_score_adj: int
    resident_kib: int
    anonymous_kib: int
    swapped_kib: int | None
    tables_kib: int = 0


@value
class Allowances:
    """What whole classes allow, for processes whose rule says nothing else: (class, ms or allowed) each."""

    grace_ms: tuple[tuple[str, int], ...] = ()
    trim: tuple[tuple[str, bool], ...] = ()
    freeze: tuple[tuple[str, bool], ...] = ()


def allowances(config: Config) -> Allowances:
    """Those of a configuration."""
    return Allowances(config.grace, config.trim, config.freeze)


def kill_order(
    processes: Iterable[Process],
    rules: tuple[tuple[Any, ...], ...],
    stored_share: float | None,
    classes: Allowances = Allowances(),  # noqa: B008 - a frozen value
) -> list[dict[str, Any]]:
    """Rows as the daemon's own: highest number first, smallest gain first within one, protected ones last.

    ``rules``: ``config.rule_table``. ``stored_share`` is the part of its size that a swapped page
    occupies in the store; None (no store) counts resident anonymous memory alone, the least that comes back.
    """
    rows = [_row(process, rules, stored_share, classes) for process in processes]
    return sorted(rows, key=lambda row: (-row["priority"], row["gain_kib"], row["pid"]))


def _row(
    process: Process, rules: tuple[tuple[Any, ...], ...], stored_share: float | None, classes: Allowances
) -> dict[str, Any]:
    priority, rule = process.oom_score_adj, OWN_RULE
    name: str | None = None
    grace_ms, group, trim, freeze = -1, "process", None, None
    index = matching.match_rule(rules, _facts(process))
    if index is not None:
        name, _, priority, _, protect, _, grace_ms, group, rule, trim, freeze = rules[index]
        priority = PRIORITY_NEVER if protect else priority
    if process.pid == 1:
        priority, rule, name = PRIORITY_NEVER, INIT_RULE, None
    class_name = class_of(priority)
    foreground = priority <= PRIORITY_FOREGROUND
    return {
        "order": None,
        "pid": process.pid,
        "name": process.comm,
        "priority": priority,
        "class": class_name,
        "rule": rule,
        "rule_name": name,
        "rule_match": [] if name is None else rules[index or 0][1],
        "resident_kib": process.resident_kib,
        "swapped_kib": process.swapped_kib,
        "gain_kib": process.anonymous_kib + process.tables_kib + PROCESS_KIB
        + int((process.swapped_kib or 0) * (stored_share or 0)),
        "never": priority <= PRIORITY_NEVER,
        "declared": foreground and index is not None,
        "trim": not foreground and (dict(classes.trim).get(class_name, False) if trim is None else trim),
        "freeze": not foreground and (dict(classes.freeze).get(class_name, False) if freeze is None else freeze),
        "grace_ms": grace_ms if grace_ms >= 0 else dict(classes.grace_ms).get(class_name, 0),
        "group": group,
    }


def _facts(process: Process) -> dict[str, str | int | None]:
    return {
        "comm": process.comm,
        "exe": process.exe,
        "cmdline": process.cmdline,
        "user": process.user,
        "uid": process.uid,
        "cgroup": process.cgroup,
        "unit": None if process.cgroup is None else matching.unit_of_cgroup(process.cgroup),
    }


def read_processes(proc: Path) -> list[Process]:
    """Every process that can be read and has memory (kernel threads and zombies have none); by psutil."""
    import psutil

    psutil.PROCFS_PATH = str(proc)
    found = []
    for running in psutil.process_iter(["name", "exe", "cmdline", "username", "uids"]):
        process = _read_process(proc, running.pid, running.info)
        if process is not None:
            found.append(process)
    return found


def _read_process(proc: Path, pid: int, info: Mapping[str, Any]) -> Process | None:
    try:
        sizes_kib = parse_status_kib(_read(proc / str(pid) / "status"))
        adj = int(_read(proc / str(pid) / "oom_score_adj"))
    except (OSError, ValueError):
        return None
    if "VmRSS" not in sizes_kib:
        return None
    # psutil lengthens a comm that the kernel cut; the rules are for the kernel's.
    comm = os.fsdecode(os.fsencode(info["name"] or "?")[:_COMM_LIMIT_BYTES])
    return Process(
        pid=pid,
        comm=comm,
        exe=info["exe"] or None,
        cmdline=None if info["cmdline"] is None else " ".join(info["cmdline"]),
        user=info["username"],
        uid=None if info["uids"] is None else info["uids"].effective,
        cgroup=_read_cgroup(proc / str(pid) / "cgroup"),
        oom_score_adj=adj,
        resident_kib=sizes_kib["VmRSS"],
        # Without RssAnon the file pages count as well: the most that a death could return.
        anonymous_kib=sizes_kib.get("RssAnon", sizes_kib["VmRSS"]),
        swapped_kib=sizes_kib.get("VmSwap"),
        tables_kib=sizes_kib.get("VmPTE", 0),
    )


def parse_status_kib(text: str) -> dict[str, int]:
    """The sizes of /proc/PID/status in KiB (Documentation/filesystems/proc.rst; RssAnon from Linux 4.5).

    ValueError for a size that is not a number. A line of another kind is passed over.
    """
    sizes_kib = {}
    for line in text.split("\n"):
        key, _, rest = line.partition(":")
        if key in ("VmRSS", "RssAnon", "VmSwap", "VmPTE"):
            sizes_kib[key] = int(rest.removesuffix("kB"))
    return sizes_kib


def parse_cgroup(text: str) -> str | None:
    """The path in the unified hierarchy (cgroup v2, ``0::PATH``), else in systemd's of v1; None without."""
    paths = dict(line.split(":", 2)[1:] for line in text.split("\n") if line.count(":") >= 2)
    return paths.get("") or paths.get("name=systemd")


def stored_share(roots: Roots) -> float | None:
    """What a page in the zram devices and zswap occupies as a share of its size; None when nothing is stored."""
    from lmkd.errors import KernelInterfaceError
    from lmkd.kernel import zram, zswap

    orig_bytes = used_bytes = 0
    with contextlib.suppress(KernelInterfaceError):
        held = zswap.stat(roots)
        if held is not None and held.stored_kib:
            orig_bytes, used_bytes = held.stored_kib * 1024, held.pool_kib * 1024
    for number in zram.devices(roots):
        try:
            stat = zram.mm_stat(roots, number)
        except (KernelInterfaceError, OSError):
            continue
        orig_bytes += stat.orig_bytes
        used_bytes += stat.used_bytes
    return min(1.0, used_bytes / orig_bytes) if orig_bytes else None


def _read_cgroup(path: Path) -> str | None:
    try:
        return parse_cgroup(_read(path))
    except OSError:
        return None


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")
