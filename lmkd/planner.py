"""The planner: validates, brings up the store, compiles the plan, and becomes the guard by exec."""

from __future__ import annotations

import os
import sys
import time

from lmkd.errors import EXIT_OK, KernelInterfaceError, LmkdError, StoreError
from lmkd.plan import Plan, Rule, dump_plan
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from lmkd.config import Config
    from lmkd.kernel.files import Roots
    from lmkd.kernel.zoneinfo import Watermarks
    from lmkd.model import Settings
    from lmkd.store.state import StoreState

WINDOW_US = 500_000
WINDOW_PLAIN_US = 2_000_000
"""Without CAP_SYS_RESOURCE the kernel takes windows in multiples of 2 s only (Documentation/accounting/psi.rst)."""
FULL_SHARE = 2
OVERRIDES = (
    "kill_horizon_ms", "runaway_horizon_ms", "runaway", "idle_interval_ms", "stall_window_ms", "set_limit", "trim",
    "trim_idle_ms", "respawn_hold", "hold_base_ms", "hold_max_ms", "freeze_max_ms", "protect_foreground",
)  # fmt: skip
"""Settings that the configuration's policy section may give, under the same names."""
_BOOTSTRAP = "import sys; sys.path.append(sys.argv[1]); from lmkd.resident import main; main(int(sys.argv[2]))"


class Notes:
    """Records made before there is a guard; they travel in the plan and become its first ones."""

    def __init__(self) -> None:
        self.items: list[tuple[str, tuple[tuple[str, object], ...], str]] = []

    def add(self, event: str, fields: dict[str, object]) -> None:
        """One record, as the store reports it."""
        level = "warning" if event in ("degraded", "store_reset") else "info"
        self.items.append((event, tuple((key, _plain(item)) for key, item in fields.items()), level))


def run(config_paths: Sequence[Path], dry_run: bool, plan_to: int | None = None) -> int:
    """Plan and exec the guard; with ``plan_to`` (a reload) write the plan to that descriptor and return.

    ConfigError with every mistake, CannotWorkError where lmkd can do nothing; a store that fails is a record, not
    an end: the killer works without one.
    """
    started_ms = time.monotonic_ns() / 1e6
    if plan_to is not None:
        return _plan_for_reload(config_paths, dry_run, plan_to, started_ms)
    plan = make_plan(config_paths, dry_run, started_ms, reload=False)
    _log_plan(plan)
    descriptor = os.memfd_create("lmkd-plan", 0)
    os.write(descriptor, dump_plan(plan))
    sys.stdout.flush()
    sys.stderr.flush()
    package_parent = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    os.execv(
        sys.executable,
        [sys.executable, "-I", "-S", "-B", "-c", _BOOTSTRAP, package_parent, str(descriptor)],
    )


def _log_plan(plan: Plan) -> None:
    """The planner's own word in the log: what it read and made of it."""
    from lmkd.log import planner_log

    log = planner_log(sys.stderr, as_json=True)
    store = plan.store_kind if plan.zram_stat or plan.dry_run else "none"
    log.info("planned", rules=len(plan.rules), files=list(plan.sources), store=store, dry_run=plan.dry_run)


def make_plan(config_paths: Sequence[Path], dry_run: bool, started_ms: float, reload: bool) -> Plan:
    """Everything that is found out and decided before the guard runs. Brings the store up, but for a reload."""
    from lmkd import config as configs
    from lmkd.kernel.capabilities import missing_abilities, require_workable
    from lmkd.kernel.files import system_roots

    roots = system_roots()
    require_workable(roots)
    notes = Notes()
    if not reload:
        for name, cost in missing_abilities(roots):
            notes.add("degraded", {"feature": name, "cost": cost})
    config = configs.load(config_paths) if config_paths else configs.load_default(roots.etc)
    store = _store(roots, config, dry_run, reload, notes)
    plan = _compile(roots, config, store, dry_run, notes, started_ms)
    return replace(plan, config_paths=tuple(os.path.abspath(path) for path in config_paths))


def _plan_for_reload(config_paths: Sequence[Path], dry_run: bool, plan_to: int, started_ms: float) -> int:
    """Write the plan, or the reason why there is none, to the descriptor; the exit code tells which."""
    try:
        plan = make_plan(config_paths, dry_run, started_ms, reload=True)
    except LmkdError as error:
        os.write(plan_to, str(error).encode("utf-8", "replace"))
        raise
    os.write(plan_to, dump_plan(plan))
    return EXIT_OK


def _store(roots: Roots, config: Config, dry_run: bool, reload: bool, notes: Notes) -> StoreState:
    from lmkd.store.dry_run import DryRunEffects
    from lmkd.store.fit import read_memory
    from lmkd.store.state import NO_STORE, spec_from_config
    from lmkd.store.zram_store import bring_up, status

    try:
        if reload:
            return status(roots)
        spec = spec_from_config(config, read_memory(roots).total_kib)
        return bring_up(roots, spec, notes.add, DryRunEffects(roots) if dry_run else None)
    except (StoreError, KernelInterfaceError) as error:
        notes.add("degraded", {"feature": "store", "cost": f"no compressed store, the killer alone: {error}"})
        return NO_STORE


def _compile(
    roots: Roots, config: Config, store: StoreState, dry_run: bool, notes: Notes, started_ms: float
) -> Plan:
    page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
    unprivileged = any("CAP_SYS_RESOURCE" in str(fields) for _event, fields, _level in notes.items)
    window_us = WINDOW_PLAIN_US if unprivileged else WINDOW_US
    some_us = config.stall_budget_ms * 1000
    zram_stat = ""
    if store.device and store.kind == "zram":
        zram_stat = str(roots.sys / "block" / os.path.basename(store.device) / "mm_stat")
    return Plan(
        settings=_settings(roots, config, page_kib),
        rules=tuple(_rules(config)),
        class_grace_ms=tuple(config.grace),
        class_trim=config.trim,
        class_freeze=config.freeze,
        page_kib=page_kib,
        cpus=max(1, os.sysconf("SC_NPROCESSORS_CONF")),  # with those that are offline: numbers need not be dense
        proc=str(roots.proc),
        zram_stat=zram_stat,
        store_kind=store.kind,
        store_on_exit=config.store.on_exit,
        socket=config.control.socket,
        run_dir=str(roots.run),
        mirror=config.mirror_oom_score_adj,
        dry_run=dry_run,
        some_us=some_us,
        full_us=max(1, some_us // FULL_SHARE),
        window_us=window_us,
        notify_socket=os.environ.get("NOTIFY_SOCKET", ""),
        config_paths=(),
        reload_argv=(sys.executable, "-m", "lmkd"),
        notes=tuple(notes.items),
        started_ms=started_ms,
        log_level=config.log.level,
        sources=config.sources,
    )


def _rules(config: Config) -> list[Rule]:
    from lmkd.config import rule_table

    rows: Any = rule_table(config)
    return [Rule(*row) for row in rows]


def _settings(roots: Roots, config: Config, page_kib: int) -> Settings:
    from lmkd.kernel.meminfo import parse_meminfo
    from lmkd.policy.derive import derive

    ram_kib = parse_meminfo((roots.proc / "meminfo").read_bytes()).total_kib
    marks = _watermarks(roots)
    policy = config.policy
    overrides: dict[str, Any] = {}
    for name in ("headroom_floor", "file_floor", "stall_free", "trim_free"):
        amount = getattr(policy, name)
        if amount is not None:
            overrides[f"{name}_kib"] = amount.kib_of(ram_kib)
    for name in OVERRIDES:
        number = getattr(policy, name)
        if number is not None:
            overrides[name] = number
    low = marks.low_pages * page_kib if marks else ram_kib // 100
    least = marks.min_pages * page_kib if marks else ram_kib // 200
    return derive(ram_kib, least, low, config.stall_budget_ms, True, overrides)


def _watermarks(roots: Roots) -> Watermarks | None:
    from lmkd.kernel.zoneinfo import parse_zoneinfo

    try:
        return parse_zoneinfo((roots.proc / "zoneinfo").read_text())
    except OSError:
        return None


def _plain(item: object) -> object:
    """What marshal takes: anything else (a path) as text."""
    return item if item is None or isinstance(item, (bool, int, float, str)) else str(item)
