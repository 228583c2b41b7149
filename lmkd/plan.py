"""The plan: everything that the planner found out and decided, in a form that costs the resident processes nothing."""

from __future__ import annotations

import marshal

from lmkd.errors import LmkdError
from lmkd.model import Settings
from lmkd.values import as_dict, value

PLAN_BYTES_MAX = 1 << 20
FORMAT = 1


@value
class Rule:
    """One compiled rule: ``matchers`` are (field, kind, pattern) as ``lmkd.matching`` takes them."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]
    priority: int
    class_name: str
    protect: bool
    on_kill: str
    grace_ms: int
    group: str
    where: str
    trim: bool | None = None
    freeze: bool | None = None


@value
class TmpfsRule:
    """What may be done about one tmpfs: ``limit_kib`` 0 and ``tell`` "" for none; ``where`` is the rule's file:line."""

    mount: str
    limit_kib: int
    delete: tuple[str, ...]
    tell: str
    where: str


@value
class Writeback:
    """What the helper writes out of the store, and where it keeps the day's account.

    Idle is what nobody has used for ``idle_s``; ``recompress`` is the second algorithm, empty for none. ``folders``
    hold the account: of this boot, and beyond it.
    """

    huge: bool
    idle: bool
    idle_s: int
    daily_kib: int
    recompress: str
    folders: tuple[str, ...]


@value
class Notice:
    """What is told at a rise to level number ``level`` (1: low) or above: a ``signal`` (0: none), a program (empty).

    To the processes of the rule of this index; with -1 to those that other rules put into ``class_name``.
    """

    rule: int
    class_name: str
    level: int
    signal: int
    argv: tuple[str, ...]
    timeout_ms: int


@value
class Ways:
    """How others are told without a connection: notices, programs after a kill by class, files, the log's target."""

    notices: tuple[Notice, ...] = ()
    on_kill: tuple[tuple[str, str], ...] = ()
    on_kill_ms: int = 10_000
    level_file: str = ""
    metrics_file: str = ""
    metrics_ms: int = 60_000
    log_to: tuple[str, ...] = ("stderr",)
    """The targets of the log, the best first."""
    log_asked: str = "auto"


@value
class Plan:
    """Settings, rules, paths and what the kernel offers. ``notes`` are records made before the guard existed.

    ``trial``: the algorithms are to be tried; ``move``: the store is to move to what an earlier trial picked.
    ``zram_stat`` is the mm_stat of a zram store, ``zswap_limit`` zswap's max_pool_percent where that is the store.
    ``config_paths`` are the files that were asked for (none: the usual places, looked at anew by a reload),
    ``control_gid`` is -1 where there is no ``control_group``.
    ``notify_fd`` is connected to the service manager, ``ready_fd`` takes one line when the guard is ready, -1 for none;
    ``lock_fd`` is the lock of the one guard (see ``kernel.alone``), -1 where there is none;
    ``watchdog_ms`` is how often the manager wants to hear of the guard, 0 for never.
    ``sources`` those that were read, ``given`` (key, file:line:column) of the numbers that they override.
    """

    settings: Settings
    rules: tuple[Rule, ...]
    class_grace_ms: tuple[tuple[str, int], ...]
    class_trim: tuple[tuple[str, bool], ...]
    class_freeze: tuple[tuple[str, bool], ...]
    page_kib: int
    cpus: int
    proc: str
    zram_stat: str
    store_kind: str
    store_on_exit: str
    socket: str
    run_dir: str
    mirror: bool
    dry_run: bool
    some_us: int
    full_us: int
    window_us: int
    config_paths: tuple[str, ...]
    reload_argv: tuple[str, ...]
    notes: tuple[tuple[str, tuple[tuple[str, object], ...], str], ...]
    started_ms: float
    log_level: str = "info"
    sources: tuple[str, ...] = ()
    given: tuple[tuple[str, str], ...] = ()
    psi_step_us: int = 1000
    trial: bool = False
    move: bool = False
    tmpfs: tuple[TmpfsRule, ...] = ()
    zswap_limit: str = ""
    sys_block: str = "/sys/block"
    dev: str = "/dev"
    store_own: bool = False
    writeback: Writeback | None = None
    control_group: str = ""
    control_gid: int = -1
    control_clients: int = 128
    android_socket: str = ""
    android_release: int = 15
    ways: Ways = Ways()
    notify_fd: int = -1
    watchdog_ms: int = 0
    ready_fd: int = -1
    lock_fd: int = -1


def dump_plan(plan: Plan) -> bytes:
    """The plan as bytes for the same interpreter (marshal); plain values only."""
    fields = as_dict(plan)
    fields["settings"] = as_dict(plan.settings)
    fields["rules"] = tuple(as_dict(rule) for rule in plan.rules)
    fields["tmpfs"] = tuple(as_dict(rule) for rule in plan.tmpfs)
    fields["writeback"] = as_dict(plan.writeback) if plan.writeback is not None else None
    fields["ways"] = as_dict(plan.ways) | {"notices": tuple(as_dict(notice) for notice in plan.ways.notices)}
    return marshal.dumps((FORMAT, fields))


def load_plan(data: bytes) -> Plan:
    """The plan from its bytes. LmkdError when they are not a whole plan of this version."""
    try:
        version, fields = marshal.loads(data)
        if version != FORMAT:
            raise LmkdError(f"plan: format {version}, this lmkd takes {FORMAT}: restart the service")
        fields["settings"] = Settings(**fields["settings"])
        fields["rules"] = tuple(Rule(**rule) for rule in fields["rules"])
        fields["tmpfs"] = tuple(TmpfsRule(**rule) for rule in fields["tmpfs"])
        given = fields["writeback"]
        fields["writeback"] = Writeback(**given) if given is not None else None
        ways = fields["ways"]
        fields["ways"] = Ways(**ways | {"notices": tuple(Notice(**notice) for notice in ways["notices"])})
        return Plan(**fields)
    except (ValueError, TypeError, KeyError, EOFError) as error:
        raise LmkdError(f"plan: not a whole plan ({error})") from error
