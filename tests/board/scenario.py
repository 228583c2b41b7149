"""Owns what a scenario is: the guest script it becomes, the figures a run yields, the bounds on them."""

from __future__ import annotations

import operator
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .architectures import DEFAULT_ARCHITECTURE
from .archive import DEFAULT_INIT, DEFAULT_SUITE
from .image import Base
from .layer import CHECKOUT, Layer, build_layer
from .packages import Progress
from .vm import FLASH_BYTES_PER_S, QUIET, Machine, Outcome, Watch, run_board

Manager = Literal["none", "earlyoom", "nohang", "lmkd"]
Operator = Literal["<=", "<", "==", ">=", ">"]
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, "<": operator.lt, "==": operator.eq, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip
COMMANDS: Mapping[str, str] = {
    "earlyoom": "earlyoom -r 3600",  # as Debian's service starts it
    "nohang": "nohang --monitor --config /etc/nohang/nohang.conf",
    "lmkd": "lmkd run",
}
UNIT = ". /lmkd/guest/unit.sh && await_unit"
INIT = CHECKOUT / "configs/init"
INIT_FILES: Mapping[str, tuple[tuple[str, Path], ...]] = {
    "systemd": (("lmkd.service", INIT / "lmkd.service"),),
    "supervisors": (
        ("S15lmkd", INIT / "S15lmkd"), ("openrc-lmkd", INIT / "openrc/lmkd"),
        *((f"s6-{name}", INIT / "s6/lmkd" / name) for name in ("run", "finish", "notification-fd", "type")),
    ),
}  # fmt: skip
READY_WAIT_S = 30
CALM_S = 2
IDLE_SETTLE_S = 8
BOOT_S = 20
# Guest time may pass slower than host time (one emulated core on a busy host); beyond this the run is stuck.
HOST_SECONDS_PER_GUEST_SECOND = 4


@dataclass(frozen=True, slots=True)
class Bound:
    """One promise about one figure; a figure that is missing breaks it."""

    field: str
    op: Operator
    value: float | bool

    def __str__(self) -> str:
        return f"{self.field} {self.op} {self.value}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One experiment: a board, a manager, a load, and what must hold."""

    name: str
    about: str
    load: tuple[str, ...] = ()  # load generator options; empty: nothing but the manager
    seconds: int = 30  # measured guest time
    mem_mb: int = 256
    cpus: int = 1
    suite: str = DEFAULT_SUITE  # whose kernel and Python the board runs
    architecture: str = DEFAULT_ARCHITECTURE
    init: str = DEFAULT_INIT  # its process 1; with systemd, the manager is a unit of its
    manager: Manager = "lmkd"
    config: str | None = None  # text of /etc/lmkd/lmkd.yaml; None: no file
    bounds: tuple[Bound, ...] = ()
    seed: int = 1
    options: tuple[str, ...] = ()  # of `lmkd run`
    extra: tuple[str, ...] = ()  # guest shell lines before the manager starts
    after: tuple[str, ...] = ()  # and after the measured window
    after_s: int = 0  # guest time that `after` may take
    kinds: tuple[str, ...] = ()  # of record that extra and after must give
    follow: bool = False  # send the manager's log as it is written
    append: str = ""  # kernel parameters
    udev: bool = False
    flash_bytes_per_s: int = FLASH_BYTES_PER_S

    def deadline_s(self) -> float:
        """Host seconds after which the run counts as stuck."""
        guest_s = self.seconds + self.after_s + READY_WAIT_S + CALM_S + BOOT_S
        return guest_s * HOST_SECONDS_PER_GUEST_SECOND


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of a scenario gave."""

    scenario: Scenario
    outcome: Outcome
    figures: Mapping[str, Any]
    missed: tuple[str, ...]


def guest_script(scenario: Scenario) -> str:
    """The main.sh of the board: quoted arguments around the steps of measure.sh."""
    lines = [f"# {scenario.name}", ". /lmkd/guest/measure.sh", "protect_script", *scenario.extra]
    if scenario.manager != "lmkd":
        lines.append(f"zram_swap {scenario.mem_mb // 2}")
    if scenario.manager != "none":
        sign = "notify" if scenario.manager == "lmkd" and scenario.init == DEFAULT_INIT else "alive"
        words = [COMMANDS[scenario.manager], *(scenario.options if scenario.manager == "lmkd" else ())]
        lines.append("start_manager " + " ".join(words) if scenario.init == DEFAULT_INIT else UNIT)
        if scenario.follow:
            lines.append("follow_log")
        lines.append(f"wait_ready {READY_WAIT_S} {sign}")
    lines.append(f"sleep {CALM_S if scenario.load else IDLE_SETTLE_S}")
    lines += ["board_state before", "begin_window"]
    if scenario.load:
        options = ["--seconds", str(scenario.seconds), "--seed", str(scenario.seed)]
        words = [word for option in scenario.load for word in shlex.split(option)]
        lines.append("run_load " + shlex.join([*options, *words]))
    else:
        lines.append(f"sleep {scenario.seconds - IDLE_SETTLE_S}")
    lines += ["end_window", "board_state after"]
    if scenario.manager == "lmkd":
        lines.append("lmkd_events")
    lines += [*scenario.after, *([] if scenario.follow else ["show_log"])]
    return "\n".join(lines) + "\n"


def promised(scenario: Scenario) -> tuple[str, ...]:
    """Kinds of record without which a run says nothing."""
    ready = ("manager",) if scenario.manager != "none" else ()
    return ("cost", *ready, *(("load",) if scenario.load else ()), *scenario.kinds)


def figures(outcome: Outcome) -> dict[str, Any]:
    """All named figures of a run in one flat mapping: load, cost, rates; the first of each kind of record counts."""
    found: dict[str, Any] = {}
    for record in outcome.records:
        kind = record.get("kind")
        if kind == "load" and isinstance(record.get("result"), dict):
            found = {**record["result"], **found}
        elif kind in ("cost", "manager"):
            found = {**{key: value for key, value in record.items() if key != "kind"}, **found}
        elif kind == "idle":
            found = {**idle_figures(record), **found}
        elif kind == "board" and record.get("when") == "before":
            found["mem_available_before_kib"] = record.get("mem_available_kib")
            found["swap_total_kib"] = record.get("swap_total_kib")
    window_s = found.get("window_s")
    if window_s:
        found["manager_wakeups_per_s"] = round(found["manager_wakeups"] / window_s, 2)
        found["manager_cpu_pct"] = round(found["manager_cpu_ms"] / window_s / 10, 3)
    return found


def idle_figures(record: Mapping[str, Any]) -> dict[str, float]:
    """Of all processes of the manager together, while nothing was started; a count that is missing is none."""
    counts = [process for window in record["windows"] for process in window]
    minutes = record["seconds"] * len(record["windows"]) / 60
    if not counts or any(process[name] is None for process in counts for name in ("voluntary", "run_ns")):
        return {}
    return {
        "idle_wakeups_min": round(sum(process["voluntary"] for process in counts) / minutes, 1),
        "idle_cpu_ms_min": round(sum(process["run_ns"] for process in counts) / 1e6 / minutes, 2),
    }


def check(scenario: Scenario, found: Mapping[str, Any]) -> tuple[str, ...]:
    """The bounds the figures break, in words; a manager that never got ready or died is one too."""
    missed = []
    if scenario.manager != "none":
        missed += [f"{name} is false" for name in ("manager_ready", "manager_alive") if not found.get(name)]
    for bound in scenario.bounds:
        value = found.get(bound.field)
        if value is None:
            missed.append(f"{bound}: no such figure")
        elif not OPERATORS[bound.op](value, bound.value):
            missed.append(f"{bound}: is {value}")
    return tuple(missed)


def run_scenario(
    scenario: Scenario, base: Base, progress: Progress, watch: Watch = QUIET, console_log: Path | None = None
) -> Result:
    """Build the layer, boot, run, judge."""
    etc = (("lmkd.yaml", scenario.config),) if scenario.config is not None else ()
    machine = Machine(
        scenario.mem_mb, scenario.cpus, scenario.flash_bytes_per_s, append=scenario.append, udev=scenario.udev
    )
    with tempfile.TemporaryDirectory(prefix="lmkd-scenario-") as scratch:
        disk = Path(scratch) / "layer.ext4"
        files = INIT_FILES.get(scenario.init, ())
        build_layer(Layer(guest_script(scenario), etc, files, scenario.init), base, disk, progress)
        deadline_s, kinds = scenario.deadline_s(), promised(scenario)
        outcome = run_board(base, disk, machine, deadline_s, kinds, watch, console_log)
    found = figures(outcome)
    return Result(scenario, outcome, found, check(scenario, found))
