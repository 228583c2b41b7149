"""Owns how a result is shown: an aligned table for people, one JSON object for programs."""

from __future__ import annotations

import json
from typing import Any

from .scenario import Result

SHOWN = (
    "gap_worst_ms", "gap_p99_ms", "gaps_over_33ms", "gaps_over_100ms", "beats", "foreground_alive",
    "background_kept", "background_total", "small_kept", "small_total", "grow_died", "grow_peak_mb",
    "tmpfs_written_mb", "tmpfs_died", "respawn_deaths", "oom_kill_delta", "pswpout", "psi_memory_full_us",
    "manager_ready", "ready_after_s", "manager_alive",
    "manager_pss_kib", "manager_swap_pss_kib", "manager_locked_kib",
    "manager_cpu_ms", "manager_cpu_ticks", "manager_cpu_pct", "manager_wakeups_per_s", "window_s",
    "mem_available_before_kib",
)  # fmt: skip


def exit_code(result: Result) -> int:
    """0: all bounds hold; 1: one is missed; 2: the run gave no result."""
    if result.outcome.status != "finished":
        return 2
    return 1 if result.missed else 0


def as_json(result: Result) -> str:
    """Everything a program wants to know."""
    return json.dumps({
        "scenario": result.scenario.name,
        "manager": result.scenario.manager,
        "mem_mb": result.scenario.mem_mb,
        "cpus": result.scenario.cpus,
        "suite": result.scenario.suite,
        "seed": result.scenario.seed,
        "status": result.outcome.status,
        "host_seconds": round(result.outcome.host_seconds, 1),
        "missed": result.missed,
        "figures": dict(result.figures),
        "events": [record["event"] for record in result.outcome.of_kind("lmkd_event")],
    })  # fmt: skip


def as_table(result: Result) -> str:
    """Figures in two columns, the deaths, the missed bounds, and the console's end if the run failed."""
    scenario, outcome = result.scenario, result.outcome
    size = f"{scenario.mem_mb} MB, {scenario.cpus} cpu, seed {scenario.seed}"
    lines = [f"{scenario.name}: {scenario.about} ({scenario.manager}, {size}): {outcome.status}"]
    names = [name for name in SHOWN if scenario.manager != "none" or not name.startswith("manager")]
    rows = [(name, result.figures.get(name)) for name in names]
    lines += [f"  {name:<26}{_shown(value):>12}" for name, value in rows if value is not None]
    for process in result.figures.get("processes", ()):
        memory = f"{process['pss_kib']} KiB PSS, {process['locked_kib']} KiB locked"
        lines.append(f"  process {process['pid']} {process['name']}: {memory}")
    for death in result.figures.get("deaths", ()):
        what = f"{death['name']}, adj {death['adj']}, signal {death['signal']}"
        lines.append(f"  death at {death['t']:.3f} s: {what}")
    lines += [f"  MISSED {text}" for text in result.missed]
    if outcome.status != "finished":
        missing = ", ".join(outcome.missing) or "-"
        lines.append(f"  after {outcome.host_seconds:.0f} s; missing: {missing}; the console ends with")
        lines.append(outcome.console_tail())
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
