"""Owns what this kernel offers: each feature is probed once, by trying or looking, never by version.

Sources: Documentation/accounting/psi.rst, admin-guide/cgroup-v2.rst, admin-guide/mm/multigen_lru.rst, man
pages of the system calls; the first version of each is in ``probe_calls``.
"""

from __future__ import annotations

import os

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import capabilities, device_mapper, modules, sysctl, zram
from lmkd.kernel.cgroup_mount import find_cgroup2, has_file
from lmkd.kernel.files import read_text, read_text_or_none
from lmkd.kernel.probe_calls import ProbeCalls
from lmkd.values import field_names, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots

_COSTS = (
    ("psi", "pressure is not seen: the headroom timer and vmstat alone decide"),
    ("psi_trigger", "the kernel does not wake the guard: it looks at pressure on its timer"),
    ("psi_cgroup", "nothing for now: pressure is judged for the whole board"),
    ("perf_page_faults", "the guard wakes by its timer alone while memory grows"),
    ("kswapd_tracepoint", "nothing for now: the fault meter and PSI wake the guard"),
    ("pidfd_open", "a process is held by number and start time alone, checked before each signal"),
    ("pidfd_send_signal", "signals go by process number, checked before"),
    ("process_madvise", "background applications are not paged out before pressure: worse stalls"),
    ("process_mrelease", "the memory of a victim comes back only as fast as it exits"),
    ("proc_connector", "new processes are found by a slow scan"),
    ("cgroup2", "the foreground's memory is not kept out of reclaim; who is to be stopped gets SIGSTOP"),
    ("cgroup_memory", "the foreground's memory is not kept out of reclaim (memory.low)"),
    ("memory_reclaim", "idle applications are paged out by process_madvise alone, without their files"),
    ("cgroup_kill", "nothing for now: the processes of a group are ended one by one in any case"),
    ("cgroup_freeze", "who is to be stopped gets SIGSTOP, which its parent can see"),
    ("swap", "no compressed store: applications are ended where compression would have done"),
    ("zram", "no compressed store: applications are ended where compression would have done"),
    ("zswap", "no store of the kind zswap"),
    ("device_mapper", "behind a store of the kind zswap stands a zram that takes nothing"),
    ("lru_gen", "the kernel's older reclaim finds idle pages less well"),
    ("smaps_rollup", "the memory of a process is estimated from its status"),
    ("mlockall", "the guard's memory is not locked: a rescue may wait for the guard's own pages"),
    ("real_time", "the guard competes with applications for the processor"),
    ("lower_oom_adj", "the kernel may choose lmkd, or what it protects, if it ever kills"),
    ("libudev", "devices are waited for by polling"),
)


@value
class Features:
    """Whether each feature is there and usable by this process; ``_COSTS`` says what each is for."""

    psi: bool
    psi_trigger: bool
    psi_cgroup: bool
    perf_page_faults: bool
    kswapd_tracepoint: bool
    pidfd_open: bool
    pidfd_send_signal: bool
    process_madvise: bool
    process_mrelease: bool
    proc_connector: bool
    cgroup2: bool
    cgroup_memory: bool
    memory_reclaim: bool
    cgroup_kill: bool
    cgroup_freeze: bool
    swap: bool
    zram: bool
    zswap: bool
    device_mapper: bool
    lru_gen: bool
    smaps_rollup: bool
    mlockall: bool
    real_time: bool
    lower_oom_adj: bool
    libudev: bool


@value
class Feature:
    """One row for a person: ``detail`` says what was found, ``cost`` what is degraded without it."""

    name: str
    present: bool
    detail: str
    cost: str


@value
class Probed:
    """What a probe found. ``kswapd_tracepoint_id`` is for perf_event_open; ``warnings`` are one line each."""

    features: Features
    rows: tuple[Feature, ...]
    warnings: tuple[str, ...]
    kswapd_tracepoint_id: int | None
    cgroup2_path: str | None


def probe(roots: Roots, calls: ProbeCalls | None = None) -> Probed:
    """Look at every feature once. Never raises for what is missing: that is what it reports."""
    calls = calls or ProbeCalls()
    answers: dict[str, tuple[bool, str]] = {}
    answers.update(_pressure(roots, calls))
    tracepoint, answers["kswapd_tracepoint"] = _tracepoint(roots)
    for name in (
        "pidfd_open", "pidfd_send_signal", "process_madvise", "process_mrelease",
        "perf_page_faults", "proc_connector", "real_time", "libudev",
    ):  # fmt: skip
        answers[name] = _answer(getattr(calls, name)())
    cgroup2 = find_cgroup2(roots)
    answers.update(_groups(cgroup2))
    answers.update(_memory(roots))
    answers.update(_rights(roots, calls))
    features = Features(**{name: answers[name][0] for name in field_names(Features)})
    rows = tuple(Feature(name, answers[name][0], answers[name][1], cost) for name, cost in _COSTS)
    return Probed(features, rows, _warnings(roots), tracepoint, cgroup2)


def _answer(reason: str | None) -> tuple[bool, str]:
    return reason is None, reason or ""


def _exists(path: str | os.PathLike[str]) -> tuple[bool, str]:
    return (True, "") if os.path.exists(path) else (False, f"no {os.fspath(path)}")


def _pressure(roots: Roots, calls: ProbeCalls) -> dict[str, tuple[bool, str]]:
    path = roots.proc / "pressure" / "memory"
    try:
        read_text(path)
    except KernelInterfaceError as error:
        return {"psi": (False, str(error)), "psi_trigger": (False, "no PSI")}
    return {"psi": (True, ""), "psi_trigger": calls.psi_trigger(path)}


def _tracepoint(roots: Roots) -> tuple[int | None, tuple[bool, str]]:
    for folder in ("tracing", "debug/tracing"):
        path = roots.sys / "kernel" / folder / "events" / "vmscan" / "mm_vmscan_kswapd_wake" / "id"
        try:
            text = read_text_or_none(path)
        except KernelInterfaceError as error:
            return None, (False, str(error))
        if text is not None and text.strip().isascii() and text.strip().isdigit():
            return int(text), (True, f"id {int(text)}")
    return None, (False, "tracefs is not mounted, or the kernel has no such event")


def _groups(cgroup2: str | None) -> dict[str, tuple[bool, str]]:
    files = (
        ("psi_cgroup", "memory.pressure"),
        ("memory_reclaim", "memory.reclaim"),
        ("cgroup_kill", "cgroup.kill"),
    )
    if cgroup2 is None:
        missing = (False, "cgroup2 is not mounted")
        names = ("cgroup2", "cgroup_memory", "cgroup_freeze", *(name for name, _file in files))
        return dict.fromkeys(names, missing)
    try:
        controllers = (read_text_or_none(f"{cgroup2}/cgroup.controllers") or "").split()
    except KernelInterfaceError:
        controllers = []
    answers = {name: has_file(cgroup2, file) for name, file in (*files, ("cgroup_freeze", "cgroup.freeze"))}
    has_memory = "memory" in controllers
    answers["cgroup2"] = (True, cgroup2)
    answers["cgroup_memory"] = (
        has_memory,
        "" if has_memory else "no memory controller in cgroup.controllers",
    )
    return answers


def _memory(roots: Roots) -> dict[str, tuple[bool, str]]:
    is_there = zram.control_exists(roots) or bool(zram.devices(roots))
    found = "ready" if is_there else _loadable(roots, "zram")
    mapper = "ready" if device_mapper.control_exists(roots) else _loadable(roots, device_mapper.MODULE)
    unknown = "neither loaded, nor built in, nor in the list of modules"
    lru_gen = _text(roots, "kernel/mm/lru_gen/enabled")
    zswap = _text(roots, "module/zswap/parameters/enabled")
    return {
        "swap": _exists(roots.proc / "swaps"),
        "zram": (found is not None, found or unknown),
        "zswap": (zswap is not None, "not in this kernel" if zswap is None else _zswap(roots, zswap)),
        "device_mapper": (mapper is not None, mapper or unknown),
        "lru_gen": (_is_on(lru_gen), "not in this kernel" if lru_gen is None else f"enabled: {lru_gen}"),
        "smaps_rollup": _exists(roots.proc / "self" / "smaps_rollup"),
    }


def _zswap(roots: Roots, enabled: str) -> str:
    named = ((name, _text(roots, f"module/zswap/parameters/{name}")) for name in ("compressor", "zpool"))
    return ", ".join((f"enabled: {enabled}", *(f"{name}: {text}" for name, text in named if text is not None)))


def _loadable(roots: Roots, module: str) -> str | None:
    try:
        return modules.available(roots, module)
    except KernelInterfaceError:
        return None


def _text(roots: Roots, name: str) -> str | None:
    try:
        text = read_text_or_none(roots.sys / name)
    except KernelInterfaceError:
        return None
    return None if text is None else text.strip()[:40]


def _is_on(text: str | None) -> bool:
    return text is not None and text.lower().removeprefix("0x").strip("0") not in ("", "n")


def _rights(roots: Roots, calls: ProbeCalls) -> dict[str, tuple[bool, str]]:
    try:
        may_lock = capabilities.abilities(roots).has(capabilities.CAP_IPC_LOCK)
    except KernelInterfaceError:
        may_lock = False
    return {
        "mlockall": (True, capabilities.CAP_IPC_LOCK) if may_lock else _answer(calls.memory_lock()),
        "lower_oom_adj": _answer(calls.lower_oom_score_adj(roots.proc / "self" / "oom_score_adj")),
    }


def _warnings(roots: Roots) -> tuple[str, ...]:
    try:
        min_ttl_ms = sysctl.read(roots, sysctl.MIN_TTL)
    except KernelInterfaceError as error:
        return (str(error),)
    if not min_ttl_ms:
        return ()
    path = sysctl.path_of(roots, sysctl.MIN_TTL)
    harm = "the kernel itself kills on thrashing and ignores the priorities"
    return (f"{path} is {min_ttl_ms}: {harm}; lmkd run sets it to 0",)
