"""The configuration as the rest of lmkd sees it: frozen values, no YAML, no file access."""

from __future__ import annotations

from typing import Any

from lmkd.model import CLASSES, PRIORITY_NEVER
from lmkd.values import value

# On the scale of /proc/PID/oom_score_adj (kernel Documentation/filesystems/proc.rst, 3.1): -1000 is never.
PRIORITY_OF_CLASS = CLASSES
PRIORITY_MIN = PRIORITY_NEVER
PRIORITY_MAX = 1000


def priority_of_class(name: str) -> int | None:
    """The number of a class on the oom_score_adj scale, or None for a name that is no class."""
    return next((number for known, number in PRIORITY_OF_CLASS if known == name), None)


@value
class Amount:
    """An amount of memory: a percentage of RAM, or KiB; exactly one of the two is set."""

    pct: int | None
    kib: int | None

    def kib_of(self, ram_kib: int) -> int:
        """This amount in KiB on a machine with ``ram_kib`` of memory (rounded down)."""
        if self.kib is not None:
            return self.kib
        if self.pct is None:
            raise ValueError("an amount has neither a percentage nor a size")
        return ram_kib * self.pct // 100


@value
class WritebackConfig:
    """What of the store is written to its backing device."""

    idle: bool
    huge: bool
    idle_age_ms: int
    daily_limit: Amount


@value
class StoreConfig:
    """The compressed swap store: ``size`` is what may be swapped out (None: as much as ``mem_limit`` holds),
    ``mem_limit`` the RAM it may take, and ``mem_limit_max`` what that is raised to at most. ``trial``: whether the
    algorithms may be tried once, when it is calm. ``pool`` is the allocator of a zswap store, or ``auto``.
    ``recompress`` and ``backing_dev`` are empty for none."""

    kind: str
    algorithm: str
    size: Amount | None
    mem_limit: Amount
    swap_priority: int
    on_exit: str
    mem_limit_max: Amount
    recompress: str
    backing_dev: str
    backing_dev_force: bool
    writeback: WritebackConfig
    trial: bool = True
    pool: str = "auto"


@value
class PolicyConfig:
    """Numbers that are derived from the machine unless given here; None: derive."""

    headroom_floor: Amount | None
    file_floor: Amount | None
    kill_horizon_ms: int | None
    runaway_horizon_ms: int | None
    runaway: bool
    idle_interval_ms: int | None
    stall_window_ms: int | None
    stall_free: Amount | None
    psi_some_ms: int | None
    psi_full_ms: int | None
    psi_window_ms: int | None
    set_limit: int | None
    trim: bool
    trim_free: Amount | None
    trim_piece: Amount | None
    trim_idle_ms: int | None
    respawn_hold: bool
    hold_base_ms: int | None
    hold_max_ms: int | None
    freeze_max_ms: int | None
    renice: bool
    protect_foreground: bool


@value
class ControlConfig:
    """Where the control socket is, whose members may do all (empty: none but root), how many clients there may be.

    ``android_socket`` is for clients that speak Android's protocol, of ``android_release``; the files tell of the level
    and the metrics. Empty: there is none.
    """

    socket: str
    group: str
    clients: int
    android_socket: str
    android_release: int
    level_file: str = ""
    metrics_file: str = ""
    metrics_interval_ms: int = 60_000


@value
class LogConfig:
    """What is logged, ``level`` is debug, info, warning or error, and where: ``to`` is as the schema allows."""

    level: str
    to: str = "auto"


@value
class NoticeConfig:
    """What is told at each rise of the pressure to ``level`` or above: a signal (empty: none), a program (empty: none).

    Neither: nothing is told, not even what the class would be.
    """

    level: str
    signal: str
    command: tuple[str, ...]
    timeout_ms: int


@value
class Matcher:
    """One condition of a rule: ``field`` of a process against ``pattern``, as "exact", "glob" or "regex"."""

    field: str
    kind: str
    pattern: str


@value
class AppRule:
    """What holds for the processes that all of ``matchers`` match; ``file`` and ``line`` say who said so.

    ``priority`` is on the oom_score_adj scale; ``class_name`` is set when it was given by name. ``grace_ms``
    is the rule's own grace between SIGTERM and SIGKILL, None: that of the class.
    """

    name: str
    matchers: tuple[Matcher, ...]
    priority: int
    class_name: str | None
    protect: bool
    on_kill: str | None
    grace_ms: int | None
    group: str
    trim: bool | None
    freeze: bool | None
    file: str
    line: int
    notify: NoticeConfig | None = None


@value
class TmpfsConfig:
    """What may be done about one tmpfs: act above ``limit``, ``tell`` a program, ``delete`` what these globs mean."""

    mount: str
    limit: Amount | None
    delete: tuple[str, ...]
    tell: str | None
    file: str
    line: int


@value
class Config:
    """Everything that can be configured, validated and complete.

    ``apps`` is in matching order: the first rule that matches wins. ``grace`` has (class, ms between SIGTERM
    and SIGKILL), ``trim`` and ``freeze`` (class, allowed); ``sysctls`` (name, value) that replace lmkd's own
    choice; ``notify`` (class, notice) and ``on_kill`` (class, program). ``sources`` are the files it was read from, in
    reading order; empty: built-in defaults. ``given`` has
    (key, file:line:column) of ``stall_budget`` and the keys of ``policy`` that were given a value.
    """

    stall_budget_ms: int
    store: StoreConfig
    manage_sysctls: bool
    sysctls: tuple[tuple[str, int], ...]
    mirror_oom_score_adj: bool
    grace: tuple[tuple[str, int], ...]
    trim: tuple[tuple[str, bool], ...]
    freeze: tuple[tuple[str, bool], ...]
    policy: PolicyConfig
    control: ControlConfig
    log: LogConfig
    apps: tuple[AppRule, ...]
    sources: tuple[str, ...]
    given: tuple[tuple[str, str], ...] = ()
    tmpfs: tuple[TmpfsConfig, ...] = ()
    notify: tuple[tuple[str, NoticeConfig], ...] = ()
    on_kill: tuple[tuple[str, str], ...] = ()
    on_kill_ms: int = 10_000


def rule_table(config: Config) -> tuple[tuple[Any, ...], ...]:
    """The rules of ``config`` as plain tuples that ``marshal`` takes and ``lmkd.matching.match_rule`` reads.

    A row is (name, ((field, kind, pattern), ...), priority, class_name or "", protect, on_kill or "",
    grace_ms or -1, group, "file:line", trim, freeze); the last two are None when the class decides.
    """
    return tuple(
        (
            rule.name,
            tuple((matcher.field, matcher.kind, matcher.pattern) for matcher in rule.matchers),
            rule.priority,
            rule.class_name or "",
            rule.protect,
            rule.on_kill or "",
            -1 if rule.grace_ms is None else rule.grace_ms,
            rule.group,
            f"{rule.file}:{rule.line}",
            rule.trim,
            rule.freeze,
        )
        for rule in config.apps
    )
