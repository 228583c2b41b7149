"""The one definition of every configuration key: name, type, default, limits and documentation.

Validation, the built-in defaults and the reference page are all made from this table.
"""

from __future__ import annotations

from lmkd.config.model import PRIORITY_MAX, PRIORITY_MIN, PRIORITY_OF_CLASS
from lmkd.matching import FIELDS as MATCH_FIELDS
from lmkd.values import value

TOP = ""
APP = "apps[]"
MATCH = "apps[].match"
MOUNT = "tmpfs[]"
NOTICE = "apps[].notify"
AUTO = "auto"
NONE = "none"
NOTICE_SIGNALS = ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGURG", "SIGWINCH", "SIGPWR",
                  *("SIGRTMIN" if not n else f"SIGRTMIN+{n}" for n in range(8)))
"""Those that have no other meaning to everybody."""
NOTICE_LEVELS = ("low", "moderate", "critical")


@value
class Field:
    """One key. ``default`` is as it would be written in YAML ("" for none, "auto" for derived from the
    machine).

    ``low`` and ``high`` are in the base unit of ``kind``: ms for a duration, % for an amount given in %, else
    plain; ``low_kib`` is for an amount given as a size.
    """

    section: str
    key: str
    kind: str
    default: str
    doc: str
    allowed: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    low_kib: int | None = None

    def path(self) -> str:
        """The key with its section: ``store.size``, ``apps[].name``."""
        return f"{self.section}.{self.key}" if self.section else self.key


_TOP_FIELDS = (
    Field(TOP, "stall_budget", "duration", "33ms",
          "The longest stall that the foreground may suffer; two frames at 60 Hz.", low=5, high=1000),
    Field(TOP, "store", "section", "", "The compressed swap store in RAM."),
    Field(TOP, "manage_sysctls", "bool", "true",
          "Set the kernel's memory sysctls to suit a compressed store, and restore them with `lmkd store down`."),
    Field(TOP, "sysctls", "section", "", "Values that replace lmkd's own choice for single sysctls."),
    Field(TOP, "mirror_oom_score_adj", "bool", "true",
          "Write priorities to oom_score_adj, so that the kernel, if it ever kills, picks as lmkd would."),
    Field(TOP, "grace", "section", "", "Time between SIGTERM and SIGKILL by class; 0ms: SIGKILL at once."),
    Field(TOP, "trim", "section", "",
          "Classes whose idle applications are paged out to the store before memory is short."),
    Field(TOP, "freeze", "section", "",
          "Classes whose applications may be stopped for a while when they thrash; they are always let go again."),
    Field(TOP, "notify", "notices", "{}", "What applications of a class are told when memory gets short."),
    Field(TOP, "on_kill", "section", "", "Programs that are run after a kill."),
    Field(TOP, "policy", "section", "", "Numbers that lmkd derives from the machine unless they are given."),
    Field(TOP, "control", "section", "", "The control socket."),
    Field(TOP, "log", "section", "", "What is logged."),
    Field(TOP, "tmpfs", "mounts", "[]", "What may be done about memory in the files of a tmpfs, before anybody dies."),
    Field(TOP, "apps", "rules", "[]", "Rules that give applications priorities; the first match wins."),
)

_STORE_FIELDS = (
    Field("store", "kind", "word", "zram",
          "What holds the compressed pages: zram, zswap in front of a device that takes nothing, or none.",
          allowed=("zram", "zswap", "none")),
    Field("store", "algorithm", "name", AUTO,
          "The compression algorithm, as in /sys/block/zramN/comp_algorithm; auto: by a trial on this board, before "
          "there was one the fastest that the kernel has."),
    Field("store", "trial", "bool", "true",
          "Whether lmkd may try the kernel's algorithms once, when the board is calm, on samples of memory, and then "
          "move what is stored to a device with the one that auto picks."),
    Field("store", "pool", "word", AUTO, "The allocator of a zswap store; auto: zsmalloc, which packs best.",
          allowed=(AUTO, "zsmalloc", "zbud", "z3fold")),
    Field("store", "size", "amount", AUTO,
          "How much memory may be swapped out, before compression; auto: so much that mem_limit is what bounds it.",
          low=1, high=400, low_kib=1024),
    Field("store", "mem_limit", "amount", "30%", "How much RAM the store may take for what it holds.",
          low=1, high=100, low_kib=1024),
    Field("store", "mem_limit_max", "amount", "60%",
          "How far lmkd raises mem_limit while what is stored compresses well and more of it comes.",
          low=1, high=100, low_kib=1024),
    Field("store", "swap_priority", "int", "100", "The swap priority; the highest is used first.",
          low=0, high=32767),
    Field("store", "on_exit", "word", "keep", "What becomes of the store when lmkd stops.",
          allowed=("keep", "down")),
    Field("store", "recompress", "name", NONE,
          "A second, denser algorithm for pages that lie idle, such as zstd (Linux 6.2); none: off."),
    Field("store", "backing_dev", "path", "",
          "A block device of its own that idle and incompressible pages are written to (Linux 4.14)."),
    Field("store", "backing_dev_force", "bool", "false",
          "true: use backing_dev even if it holds a file system or anything else known. It is destroyed."),
    Field("store", "writeback", "section", "", "What is written to backing_dev, in calm moments only."),
)
_WRITEBACK = "store.writeback"
_WRITEBACK_FIELDS = (
    Field(_WRITEBACK, "idle", "bool", "false", "Whether pages that nobody has used for idle_age are written out."),
    Field(_WRITEBACK, "huge", "bool", "false", "Whether pages that do not compress are written out."),
    Field(_WRITEBACK, "idle_age", "duration", "10min", "How long a page must have been idle.",
          low=1000, high=2_592_000_000),
    Field(_WRITEBACK, "daily_limit", "amount", "64M", "How much is written in a day at most: it spares flash.",
          low=1, high=400, low_kib=64),
)

# Limits: kernel Documentation/admin-guide/sysctl/vm.rst and kernel/sysctl.c; the lower limits of
# min_free_kbytes and vfs_cache_pressure are those below which that document says that the system breaks or
# runs out of memory.
_SYSCTL_FIELDS = (
    Field("sysctls", "vm.swappiness", "int", AUTO,
          "How willingly anonymous pages go to swap rather than file pages being dropped.", low=0, high=200),
    Field("sysctls", "vm.page-cluster", "int", AUTO, "Read-ahead from swap, as a power of two in pages.",
          low=0, high=10),
    Field("sysctls", "vm.watermark_boost_factor", "int", AUTO,
          "Extra reclaim after fragmentation, in 1/10000 of the high watermark.", low=0, high=100_000),
    Field("sysctls", "vm.watermark_scale_factor", "int", AUTO,
          "Distance between the watermarks, in 1/10000 of memory.", low=1, high=3000),
    Field("sysctls", "vm.min_free_kbytes", "int", AUTO, "What the kernel keeps free for itself, in KiB.",
          low=1024, high=1_048_576),
    Field("sysctls", "vm.vfs_cache_pressure", "int", AUTO,
          "How willingly directory and inode caches are reclaimed, in %.", low=1, high=1000),
)

_GRACE_DEFAULTS = (("foreground", "500ms"), ("visible", "300ms"), ("service", "200ms"),
                   ("background", "100ms"), ("cached", "0ms"))
_GRACE_FIELDS = tuple(
    Field("grace", name, "duration", default, f"For class {name}.", low=0, high=60_000)
    for name, default in _GRACE_DEFAULTS
)

_TRIM_DEFAULTS = (("visible", "false"), ("service", "false"), ("background", "true"), ("cached", "true"))
_TRIM_FIELDS = tuple(
    Field("trim", name, "bool", default, f"For class {name}.") for name, default in _TRIM_DEFAULTS
)
_FREEZE_FIELDS = tuple(
    Field("freeze", name, "bool", "false", f"For class {name}.") for name in ("service", "background", "cached")
)

_POLICY_FIELDS = (
    Field("policy", "headroom_floor", "amount", AUTO, "Below this headroom applications are ended.",
          low=0, high=50, low_kib=0),
    Field("policy", "file_floor", "amount", AUTO, "Clean file cache that the foreground needs; no headroom.",
          low=0, high=80, low_kib=0),
    Field("policy", "kill_horizon", "duration", AUTO, "Kill if memory is forecast to end within this time.",
          low=1, high=60_000),
    Field("policy", "runaway_horizon", "duration", AUTO,
          "An application that would eat all that lower deaths return within this time is itself the victim.",
          low=1, high=600_000),
    Field("policy", "runaway", "bool", "true", "Whether a runaway application may die before lower ones."),
    Field("policy", "idle_interval", "duration", AUTO, "The longest time between looks at an idle machine.",
          low=100, high=3_600_000),
    Field("policy", "stall_window", "duration", AUTO, "The time over which the foreground's stall is measured.",
          low=100, high=10_000),
    Field("policy", "stall_free", "amount", AUTO, "With more headroom than this a stall alone ends nobody.",
          low=0, high=100, low_kib=0),
    Field("policy", "psi_some", "duration", AUTO,
          "A stall of some task for so long within psi_window wakes the guard (PSI some).", low=1, high=10_000),
    Field("policy", "psi_full", "duration", AUTO,
          "A stall of all tasks for so long within psi_window wakes the guard (PSI full).", low=1, high=10_000),
    Field("policy", "psi_window", "duration", AUTO, "The window of both PSI triggers, as the kernel takes it.",
          low=500, high=10_000),
    Field("policy", "set_limit", "int", AUTO, "How many applications one decision may end at most.", low=1, high=64),
    Field("policy", "trim", "bool", "true", "Whether idle applications are paged out before memory is short."),
    Field("policy", "trim_free", "amount", AUTO, "Memory that trimming keeps free for what comes suddenly.",
          low=0, high=50, low_kib=0),
    Field("policy", "trim_piece", "amount", AUTO, "How much trimming pages out at a time.",
          low=1, high=10, low_kib=64),
    Field("policy", "trim_idle", "duration", AUTO, "How long an application must have been idle to be trimmed.",
          low=100, high=3_600_000),
    Field("policy", "respawn_hold", "bool", "true",
          "Whether an application that comes back soon after its kill is stopped for a while, longer each time."),
    Field("policy", "hold_base", "duration", AUTO, "The first such stop; each further one is twice as long.",
          low=100, high=60_000),
    Field("policy", "hold_max", "duration", AUTO, "The longest such stop.", low=100, high=3_600_000),
    Field("policy", "freeze_max", "duration", AUTO, "The longest that an application which thrashes is stopped.",
          low=100, high=60_000),
    Field("policy", "renice", "bool", "true",
          "Whether the processor has an order while memory is short: what is in front (nice -15), the kernel's reclaim "
          "(-10), all others, and last what grows faster than memory is made ready (19)."),
    Field("policy", "protect_foreground", "bool", "true",
          "Whether the memory of a declared foreground with a cgroup of its own is set as its memory.low."),
)

_NOTICE_FIELDS = (
    *(Field("notify", name, "notice", NONE, f"For class {name}: signal, level, exec, timeout.")
      for name, _ in PRIORITY_OF_CLASS),
    Field(NOTICE, "signal", "word", "", "A signal to each process, if it catches that signal; no other is touched.",
          allowed=NOTICE_SIGNALS),
    Field(NOTICE, "level", "word", "moderate", "The level from which on each rise is told.",
          allowed=NOTICE_LEVELS),
    Field(NOTICE, "exec", "command", "", "A program, or a list of it and its arguments: run once, one at a time."),
    Field(NOTICE, "timeout", "duration", "2s", "How long exec may take; then it is ended with all that it started.",
          low=100, high=60_000),
)

_ON_KILL_FIELDS = (
    *(Field("on_kill", name, "path", "", f"Run after a kill in class {name}, where the rule names no program.")
      for name, _ in _GRACE_DEFAULTS),
    Field("on_kill", "timeout", "duration", "10s", "How long any of them may take, then it is ended.",
          low=100, high=600_000),
)

_OTHER_FIELDS = (
    Field("control", "socket", "path", "/run/lmkd/control", "Path of the control socket, at most 107 bytes."),
    Field("control", "group", "name", "lmkd",
          "The group whose members may set priorities, kill and reload like root, if there is one; none: only root."),
    Field("control", "clients", "int", "128", "How many clients may be connected at once.", low=1, high=512),
    Field("control", "android_socket", "path", "",
          "Path of a second socket for clients that speak Android's lmkd protocol, at most 107 bytes; theirs is "
          "/dev/socket/lmkd. Without it there is none."),
    Field("control", "android_release", "int", "15",
          "The Android release that those clients are of: from 16 on, notices of kills have the RSS.", low=9, high=99),
    Field("control", "level_file", "path", "/run/lmkd/level",
          "A file of one line that always tells the level of pressure, or `none`.", allowed=(NONE,)),
    Field("control", "metrics_file", "path", "",
          "A file that `lmkd metrics` writes now and then, for node_exporter's textfile collector."),
    Field("control", "metrics_interval", "duration", "1min", "How often metrics_file is written, in calm moments.",
          low=5000, high=86_400_000),
    Field("log", "level", "word", "info", "The least severe level that is logged.",
          allowed=("debug", "info", "warning", "error")),
    Field("log", "to", "word", AUTO, "Where the log goes; auto: the journal where stderr leads there, else stderr; "
          "where stderr leads nowhere, to syslog.", allowed=(AUTO, "stderr", "journald", "syslog", "kmsg")),
)

_APP_FIELDS = (
    Field(APP, "name", "label", "",
          "Name in records, by default made of the patterns. In a drop-in, replaces the rule of that name."),
    Field(APP, "match", "section", "", "Conditions on a process; all of them must hold. Required."),
    Field(APP, "priority", "priority", "",
          "A class, or a number on the kernel's scale. Required unless protect is true.", low=PRIORITY_MIN,
          high=PRIORITY_MAX, allowed=tuple(name for name, _ in PRIORITY_OF_CLASS)),
    Field(APP, "protect", "bool", "false", "true: never killed, the same as priority protected."),
    Field(APP, "on_kill", "path", "", "A program that is run after a kill, without arguments."),
    Field(APP, "notify", "notice", "", "What it is told when memory gets short, or `none`, in place of its class's."),
    Field(APP, "grace", "duration", "", "Time between SIGTERM and SIGKILL, in place of the class's.",
          low=0, high=60_000),
    Field(APP, "trim", "bool", "", "Whether it may be paged out when idle, in place of what its class says."),
    Field(APP, "freeze", "bool", "", "Whether it may be stopped when it thrashes, in place of what its class says."),
    Field(APP, "group", "word", "process", "What dies together: it, it and all below it, or its cgroup.",
          allowed=("process", "tree", "cgroup")),
)

_MOUNT_FIELDS = (
    Field(MOUNT, "mount", "path", "", "Where it is mounted, as in /proc/mounts. Required."),
    Field(MOUNT, "limit", "amount", "",
          "Above this, tell and delete also while memory is not short; without it only then.",
          low=1, high=100, low_kib=64),
    Field(MOUNT, "delete", "globs", "", "Files that may be deleted, oldest first; patterns from the mount on."),
    Field(MOUNT, "tell", "path", "", "A program that is run on notice, without arguments, at most every 10 s."),
)

_MATCH_DOCS = (
    ("comm", "The kernel's name of the process, at most 15 bytes."),
    ("exe", "The absolute path of the program."),
    ("cmdline", "The whole command line, arguments separated by single spaces."),
    ("user", "The user's name or uid."),
    ("cgroup", "The cgroup path as in /proc/PID/cgroup, from /."),
    ("unit", "The systemd unit, such as kiosk.service."),
)
_MATCH_FIELDS = tuple(Field(MATCH, key, "pattern", "", doc) for key, doc in _MATCH_DOCS)
assert tuple(key for key, _ in _MATCH_DOCS) == MATCH_FIELDS

FIELDS: tuple[Field, ...] = (
    *_TOP_FIELDS, *_STORE_FIELDS, *_WRITEBACK_FIELDS, *_SYSCTL_FIELDS, *_GRACE_FIELDS, *_TRIM_FIELDS, *_FREEZE_FIELDS,
    *_ON_KILL_FIELDS, *_POLICY_FIELDS, *_OTHER_FIELDS,
    *_MOUNT_FIELDS, *_APP_FIELDS, *_MATCH_FIELDS, *_NOTICE_FIELDS,
)


def fields_of(section: str) -> tuple[Field, ...]:
    """The keys of one section, in the order of the table."""
    return tuple(field for field in FIELDS if field.section == section)


def sections_with(key: str) -> tuple[str, ...]:
    """The sections that have a key of this name."""
    return tuple(field.section for field in FIELDS if field.key == key)
