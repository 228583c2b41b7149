"""What the scout knows of one process, and what its rule or class allows to be done to it."""

from __future__ import annotations

from lmkd.model import (
    FLAG_DECLARED_FOREGROUND,
    FLAG_FREEZE,
    FLAG_GROUP,
    FLAG_RESPAWNED,
    FLAG_TRIM,
    PRIORITY_FOREGROUND,
    class_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.process import Sizes, Stat
    from lmkd.plan import Plan


class Entry:
    """What is known of one process. Mutable, and never leaves the scout."""

    __slots__ = (
        "activity",
        "base_adj",
        "cgroup",
        "comm",
        "command",
        "files_kib",
        "files_until_ms",
        "forked",
        "grace_ms",
        "idle_since_ms",
        "name",
        "own_adj",
        "parent",
        "priority",
        "respawned",
        "rule",
        "settled",
        "shared_kib",
        "sizes",
        "start",
        "weighed_kib",
        "weight",
    )

    def __init__(self, stat: Stat) -> None:
        self.start = stat.start_ticks
        self.parent = stat.parent
        self.comm = self.name = stat.comm
        self.command: int | None = None
        self.settled = False
        self.respawned = False
        self.base_adj = 0
        self.rule = -1
        self.priority = 0
        self.grace_ms = 0
        self.own_adj = True
        self.forked = False
        self.cgroup = ""
        self.shared_kib = 0
        self.files_kib = 0
        """What its death returns of files in memory, as long as that was looked at lately."""
        self.files_until_ms = 0.0
        self.sizes: Sizes | None = None
        self.weight = 0.0
        """What a compressor leaves of its pages, by a sample; 0: not known. ``weighed_kib``: how large it was then."""
        self.weighed_kib = 0
        self.activity = -1
        self.idle_since_ms = 0.0

    def size_kib(self) -> int:
        """Anonymous memory, here and in the store; 0 before it was looked at."""
        return self.sizes.anon_kib + self.sizes.swapped_kib if self.sizes is not None else 0

    def go_on_from(self, known: Entry) -> None:
        """Keep what was measured of the same process before."""
        self.sizes, self.shared_kib = known.sizes, known.shared_kib
        self.files_kib, self.files_until_ms = known.files_kib, known.files_until_ms
        self.activity, self.idle_since_ms = known.activity, known.idle_since_ms
        self.respawned = known.respawned
        self.weight, self.weighed_kib = known.weight, known.weighed_kib


class Classes:
    """What the plan says of whole classes, for processes whose rule says nothing else."""

    def __init__(self, plan: Plan) -> None:
        self._rules = plan.rules
        self._grace = dict(plan.class_grace_ms)
        self._trim = dict(plan.class_trim)
        self._freeze = dict(plan.class_freeze)

    def grace_ms(self, entry: Entry) -> int:
        """Between SIGTERM and SIGKILL."""
        return entry.grace_ms if entry.grace_ms >= 0 else self._grace.get(class_of(entry.priority), 0)

    def flags(self, entry: Entry) -> int:
        """The ``FLAG_`` bits of a candidate. What is foreground or more is neither trimmed nor frozen."""
        rule = self._rules[entry.rule] if entry.rule >= 0 else None
        flags = FLAG_GROUP if rule is not None and rule.group != "process" else 0
        flags |= FLAG_RESPAWNED if entry.respawned else 0
        if entry.priority <= PRIORITY_FOREGROUND:
            return flags if entry.own_adj else flags | FLAG_DECLARED_FOREGROUND
        name = class_of(entry.priority)
        if self._trim.get(name, False) if rule is None or rule.trim is None else rule.trim:
            flags |= FLAG_TRIM
        if self._freeze.get(name, False) if rule is None or rule.freeze is None else rule.freeze:
            flags |= FLAG_FREEZE
        return flags
