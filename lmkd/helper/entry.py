"""What the scout knows of one process, and what its rule or class allows to be done to it."""

from __future__ import annotations

from lmkd.model import (
    FLAG_DECLARED_FOREGROUND,
    FLAG_FREEZE,
    FLAG_GROUP,
    FLAG_RESPAWNED,
    FLAG_TRIM,
    PRIORITY_FOREGROUND,
    PRIORITY_NEVER,
    class_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.helper.registry import Registry
    from lmkd.kernel.process import Sizes, Stat
    from lmkd.plan import Plan


HAS_PRIORITY, TRIM, TRIM_SAID, FREEZE, FREEZE_SAID, PRIVILEGED = 1, 2, 4, 8, 16, 32
"""What was set for a process over the control socket, and by whom (``Entry.said``, ``helper.registry``)."""
RECORD = 64
"""It was set over Android's protocol, where a client may clear away what another one left behind."""


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
        "said",
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
        self.said = 0
        """The flags of what was set for it over the control socket (``helper.registry``)."""
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


def base_adj_of(adj: int, known: Entry | None, parent: Entry | None) -> int:
    """What oom_score_adj would be without us. What we gave to a process is inherited, but for protection."""
    if known is not None:
        return known.base_adj if not known.own_adj and adj == known.priority else adj
    if parent is not None and not parent.own_adj and adj == parent.priority == PRIORITY_NEVER:
        return parent.base_adj
    return adj


def take_set(entry: Entry, registry: Registry | None, pid: int) -> None:
    """Apply what was set for a process: over its rule only by who may do all, and else only to lower it."""
    slot = registry.find(pid, entry.start) if registry is not None else None
    if slot is None:
        return
    entry.said = slot.flags
    if slot.flags & HAS_PRIORITY and (
        slot.flags & PRIVILEGED or (entry.rule < 0 and slot.priority > entry.base_adj)
    ):
        entry.priority, entry.own_adj = slot.priority, False


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
            declared = not entry.own_adj and (entry.rule >= 0 or entry.said & PRIVILEGED)
            return flags | FLAG_DECLARED_FOREGROUND if declared else flags
        name = class_of(entry.priority)
        of_rule = (None, None) if rule is None else (rule.trim, rule.freeze)
        if self._allows(entry.said, TRIM_SAID, TRIM, of_rule[0], self._trim.get(name, False)):
            flags |= FLAG_TRIM
        if self._allows(entry.said, FREEZE_SAID, FREEZE, of_rule[1], self._freeze.get(name, False)):
            flags |= FLAG_FREEZE
        return flags

    def _allows(self, said: int, told: int, bit: int, of_rule: bool | None, of_class: bool) -> bool:
        """Who may do all goes before the rule, the rule before everybody else, and these before the class."""
        if said & told and (of_rule is None or said & PRIVILEGED):
            return bool(said & bit)
        return of_class if of_rule is None else of_rule
