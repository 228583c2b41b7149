"""The planner: validates, brings up the store, compiles the plan, and becomes the guard by exec."""

from __future__ import annotations

import os
import sys
import time

from lmkd.errors import EXIT_OK, ConfigError, KernelInterfaceError, LmkdError, StoreError
from lmkd.notes import Notes
from lmkd.plan import Notice, Plan, Rule, TmpfsRule, Ways, dump_plan
from lmkd.units import format_kib
from lmkd.values import as_dict, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from lmkd.config import Config
    from lmkd.kernel.files import Roots
    from lmkd.kernel.zoneinfo import Watermarks
    from lmkd.store.state import StoreState

_BOOTSTRAP = (
    "import gc, sys; gc.set_threshold(50); sys.path.append(sys.argv[1]); "
    "from lmkd.slim import install; install(); from lmkd.lean import shed; shed(); "
    "from lmkd.resident import main; main(int(sys.argv[2]))"
)
"""Modules leave cycles behind when they are made: taken away early, their place serves the next (100 KiB less)."""


def run(config_paths: Sequence[Path], dry_run: bool, plan_to: int | None = None, ready_fd: int = -1) -> int:
    """Plan and exec the guard; with ``plan_to`` (a reload) write the plan to that descriptor and return.

    ConfigError with every mistake, CannotWorkError where lmkd can do nothing, LmkdError where another one is at work.
    """
    started_ms = time.monotonic_ns() / 1e6
    if plan_to is not None:
        return _plan_for_reload(config_paths, dry_run, plan_to, started_ms)
    from lmkd.kernel.alone import claim
    from lmkd.kernel.files import system_roots

    lock_fd = -1 if dry_run else claim(system_roots().run)
    plan = _with_manager(make_plan(config_paths, dry_run, started_ms, reload=False), ready_fd=ready_fd, lock_fd=lock_fd)
    _log_plan(plan)
    descriptor = os.memfd_create("lmkd-plan", 0)
    os.write(descriptor, dump_plan(plan))
    sys.stdout.flush()
    sys.stderr.flush()
    package_parent = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    argv = [sys.executable, "-I", "-S", "-B", "-c", _BOOTSTRAP, package_parent, str(descriptor)]
    os.execv(argv[0], argv)


def _with_manager(plan: Plan, **descriptors: int) -> Plan:
    """The plan for who was started by somebody that waits to hear of it; the connection goes to the guard."""
    from lmkd.kernel.notify import who_waits

    who = who_waits(os.environ, os.getpid())
    return replace(plan, notify_fd=who.fd, watchdog_ms=who.watchdog_ms, notes=plan.notes + who.notes, **descriptors)


def _log_plan(plan: Plan) -> None:
    """The planner's own word in the log: what it read and made of it."""
    from lmkd.log import planner_log

    log = planner_log(sys.stderr, as_json=True)
    store = plan.store_kind if plan.zram_stat or plan.zswap_limit or plan.dry_run else "none"
    log.info("planned", rules=len(plan.rules), files=list(plan.sources), store=store, dry_run=plan.dry_run)


def make_plan(config_paths: Sequence[Path], dry_run: bool, started_ms: float, reload: bool) -> Plan:
    """Everything that is found out and decided before the guard runs. Brings the store up, but for a reload."""
    from lmkd import config as configs
    from lmkd.kernel.capabilities import missing_abilities, require_workable
    from lmkd.kernel.files import system_roots
    from lmkd.store.wanted import needs_move, needs_trial

    roots = system_roots()
    require_workable(roots)
    notes = Notes()
    if not reload:
        for name, cost in missing_abilities(roots):
            notes.add("degraded", {"feature": name, "cost": cost})
    config = configs.load(config_paths) if config_paths else configs.load_default(roots.etc)
    store = _store(roots, config, dry_run, reload, notes)
    plan = _compile(roots, config, store, dry_run, notes, started_ms)
    own = store.kind != "none" and not store.foreign and not dry_run
    plan = replace(plan, trial=own and needs_trial(roots, config), move=own and needs_move(roots, config, store))
    return replace(_beside(plan, roots), config_paths=tuple(os.path.abspath(path) for path in config_paths))


def _beside(plan: Plan, roots: Roots) -> Plan:
    """A dry run beside the lmkd that guards the board leaves it its sockets."""
    from lmkd.kernel.alone import is_guarded

    if not plan.dry_run or not is_guarded(roots.run):
        return plan
    cost = f"{plan.socket}: another lmkd guards this board and serves it; this dry run has none"
    note = ("degraded", (("feature", "control socket"), ("cost", cost)), "warning")
    return replace(plan, socket="", android_socket="", notes=(*plan.notes, note))


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
    from lmkd.store import stores
    from lmkd.store.state import NO_STORE
    from lmkd.store.wanted import wanted_here

    try:
        if reload:
            return stores.status(roots)
        spec = wanted_here(roots, config, notes.add)
        return stores.bring_up(roots, spec, notes.add, stores.dry_run(roots) if dry_run else None)
    except (StoreError, KernelInterfaceError) as error:
        notes.add("degraded", {"feature": "store", "cost": f"no compressed store, the killer alone: {error}"})
        return NO_STORE


def _compile(
    roots: Roots, config: Config, store: StoreState, dry_run: bool, notes: Notes, started_ms: float
) -> Plan:
    from lmkd.policy.derive import settings_of
    from lmkd.store.planned import with_store, zram_stat

    numbers = policy_numbers(roots, config)
    plan = Plan(
        settings=settings_of(numbers),
        rules=tuple(_rules(config)),
        class_grace_ms=tuple(config.grace),
        class_trim=config.trim,
        class_freeze=config.freeze,
        page_kib=os.sysconf("SC_PAGE_SIZE") // 1024,
        cpus=max(1, os.sysconf("SC_NPROCESSORS_CONF")),  # with those that are offline: numbers need not be dense
        proc=str(roots.proc),
        zram_stat=zram_stat(roots, store),
        store_kind=store.kind,
        store_on_exit=config.store.on_exit,
        socket=config.control.socket,
        run_dir=str(roots.run),
        mirror=config.mirror_oom_score_adj,
        dry_run=dry_run,
        some_us=numbers["psi_some_us"],
        full_us=numbers["psi_full_us"],
        window_us=numbers["psi_window_us"],
        config_paths=(),
        reload_argv=(sys.executable, "-m", "lmkd"),
        notes=tuple(notes.items),
        started_ms=started_ms,
        log_level=config.log.level,
        sources=config.sources,
        given=config.given,
        psi_step_us=numbers["psi_step_us"],
        tmpfs=tmpfs_rules(config, numbers["ram_kib"]),
        **_control(config),
    )
    return with_store(plan, roots, config, store, numbers["ram_kib"])


def _rules(config: Config) -> list[Rule]:
    from lmkd.config import rule_table

    rows: Any = rule_table(config)
    return [Rule(*row) for row in rows]


def tmpfs_rules(config: Config, ram_kib: int) -> tuple[TmpfsRule, ...]:
    """What the configuration allows on each tmpfs, limits in KiB of this board."""
    return tuple(
        TmpfsRule(
            one.mount, one.limit.kib_of(ram_kib) if one.limit else 0, one.delete, one.tell or "",
            f"{one.file}:{one.line}",
        )
        for one in config.tmpfs
    )  # fmt: skip


def ways_of(config: Config) -> Ways:
    """What the configuration says of telling others without a connection."""
    from lmkd.config.notices import notice_rows
    from lmkd.log import STDERR, log_targets

    return Ways(
        notices=tuple(Notice(*row) for row in notice_rows(config)),
        on_kill=config.on_kill,
        on_kill_ms=config.on_kill_ms,
        level_file=config.control.level_file,
        metrics_file=config.control.metrics_file,
        metrics_ms=config.control.metrics_interval_ms,
        log_to=log_targets(config.log.to, STDERR, os.environ),
        log_asked=config.log.to,
    )


def policy_numbers(roots: Roots, config: Config) -> dict[str, Any]:
    """All numbers of the policy by name (see ``policy.derive``) as this board and this configuration give them.

    ConfigError for what the configuration gives and this board cannot have.
    """
    from lmkd.kernel.capabilities import CAP_SYS_RESOURCE, abilities
    from lmkd.kernel.meminfo import parse_meminfo
    from lmkd.policy.derive import PSI_STEP_PLAIN_US, PSI_STEP_US, derive_numbers
    from lmkd.store.planned import TEND_MS, writeback

    ram_kib = parse_meminfo((roots.proc / "meminfo").read_bytes()).total_kib
    marks = _watermarks(roots)
    page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
    facts = {
        "stall_budget_ms": config.stall_budget_ms,
        "ram_kib": ram_kib,
        "page_kib": page_kib,
        "watermark_min_kib": marks.min_pages * page_kib if marks else None,
        "watermark_low_kib": marks.low_pages * page_kib if marks else None,
        "fault_meter": True,
        "tmpfs_rungs": bool(config.tmpfs),
        "tmpfs_limit_kib": min((one.limit.kib_of(ram_kib) for one in config.tmpfs if one.limit), default=0),
        "store_limit_kib": config.store.mem_limit.kib_of(ram_kib),
        "store_limit_max_kib": max(config.store.mem_limit.kib_of(ram_kib), config.store.mem_limit_max.kib_of(ram_kib)),
        "tend_ms": TEND_MS if writeback(roots, config, ram_kib) is not None else 0,
        "psi_step_us": PSI_STEP_US if abilities(roots).has(CAP_SYS_RESOURCE) else PSI_STEP_PLAIN_US,
    }
    numbers = derive_numbers(facts, _overrides(config, ram_kib))
    _refuse_too_much(config, numbers)
    return numbers


def _overrides(config: Config, ram_kib: int) -> dict[str, Any]:
    """What the policy section gives, by the names and in the units of the derived numbers."""
    from lmkd.policy.derive import NUMBERS, stem

    given = as_dict(config.policy)
    by_stem = {stem(name): item for name, item in given.items() if item is not None}
    overrides = {}
    for number in NUMBERS:
        item = by_stem.get(stem(number.name))
        if item is None:
            continue
        if number.name.endswith("_kib"):
            item = item.kib_of(ram_kib)
        overrides[number.name] = item * 1000 if number.name.endswith("_us") else item
    return overrides


def _refuse_too_much(config: Config, numbers: dict[str, Any]) -> None:
    """Floors that leave nothing would end every application: that is a mistake in a size, not a wish."""
    given = dict(config.given)
    key = next((name for name in ("policy.headroom_floor", "policy.file_floor") if name in given), None)
    floors = numbers["headroom_floor_kib"] + numbers["file_floor_kib"]
    if key is not None and floors >= numbers["ram_kib"]:
        raise ConfigError(
            (f"{given[key]}: {key}: headroom_floor and file_floor are {format_kib(floors)} together, "
             f"this board has {format_kib(numbers['ram_kib'])}: write less",)
        )


def _control(config: Config) -> dict[str, Any]:
    """Of the plan, what concerns clients and whoever is told things; a group that is not there has the number -1."""
    import grp

    group = config.control.group
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        gid = -1
    return {
        "control_group": group,
        "control_gid": gid,
        "control_clients": config.control.clients,
        "android_socket": config.control.android_socket,
        "android_release": config.control.android_release,
        "ways": ways_of(config),
    }


def _watermarks(roots: Roots) -> Watermarks | None:
    from lmkd.kernel.zoneinfo import parse_zoneinfo

    try:
        return parse_zoneinfo((roots.proc / "zoneinfo").read_text())
    except OSError:
        return None
