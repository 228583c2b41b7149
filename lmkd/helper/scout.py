"""The scout: keeps the table of candidates, by process events where the kernel has them, else by a slow scan."""

from __future__ import annotations

import errno
import os

from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once
from lmkd.kernel.proc_events import parse_events
from lmkd.kernel.process import (
    list_pids,
    read_cgroup,
    read_cmdline,
    read_exe,
    read_oom_score_adj,
    read_sizes,
    read_stat,
)
from lmkd.matching import fields_used, match_rule, unit_of_cgroup
from lmkd.model import (
    FLAG_DECLARED_FOREGROUND,
    FLAG_GROUP,
    PRIORITY_FOREGROUND,
    PRIORITY_NEVER,
    Candidate,
    class_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmkd.kernel.process import Sizes
    from lmkd.plan import Plan, Rule

KTHREADD = 2
PRIVATE_MIN_KIB = 2048
"""Below this, how much a forked child shares with its parent is not worth walking its page tables."""
SHARE_WORTH = 4
EVENT_BYTES = 65536


class Entry:
    """What is known of one process. Mutable, and never leaves the scout."""

    __slots__ = (
        "forked",
        "grace_ms",
        "name",
        "own_adj",
        "parent",
        "priority",
        "rule",
        "shared_kib",
        "sizes",
        "start",
    )

    def __init__(self, start: int, parent: int, name: str) -> None:
        self.start = start
        self.parent = parent
        self.name = name
        self.rule = -1
        self.priority = 0
        self.grace_ms = 0
        self.own_adj = True
        self.forked = False
        self.shared_kib = 0
        self.sizes: Sizes | None = None


class Scout:
    """Owns the entries. ``excluded`` are lmkd's own processes, which are nobody's victims."""

    def __init__(
        self,
        plan: Plan,
        excluded: Iterable[int],
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
    ) -> None:
        self._plan = plan
        self._proc = plan.proc
        self._excluded = frozenset(excluded)
        self._report = report
        self._rows = tuple((rule.name, rule.matchers) for rule in plan.rules)
        self._fields = fields_used(self._rows)
        self._grace = dict(plan.class_grace_ms)
        self._entries: dict[int, Entry] = {}
        self._fresh: set[int] = set()
        self.complete = False

    def scan(self) -> None:
        """Find every process: at the start, after lost events, and where the kernel sends none."""
        pids = list_pids(self._proc)
        for pid in set(self._entries) - set(pids):
            del self._entries[pid]
        for pid in pids:
            self._identify(pid)
        self._fresh.clear()
        self.complete = True

    def take_events(self, descriptor: int) -> None:
        """Read all waiting process events; a scan follows when the kernel says that some were lost."""
        while True:
            try:
                data = os.read(descriptor, EVENT_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.complete = False
                continue
            for event in parse_events(data):
                if event.what == "exit":
                    self._entries.pop(event.pid, None)
                    self._fresh.discard(event.pid)
                else:
                    self._fresh.add(event.pid)
        if not self.complete:
            self.scan()
        for pid in self._fresh:
            self._identify(pid, again=True)
        self._fresh.clear()

    def measure(self, private: bool) -> None:
        """Read the sizes of all; ``private`` also walks those that share memory with a parent (costs page walks)."""
        for pid in list(self._entries):
            entry = self._entries[pid]
            sizes = read_sizes(self._proc, pid)
            if sizes is None:
                del self._entries[pid]
                continue
            entry.sizes = sizes
            entry.name = sizes.name
            if entry.own_adj:
                adj = read_oom_score_adj(self._proc, pid)
                if adj is not None:
                    entry.priority = adj
            if private and self._may_share(entry, sizes):
                entry.shared_kib = max(0, sizes.anon_kib - self._private_kib(pid, sizes.anon_kib))

    def candidates(self, store_share: float) -> list[Candidate]:
        """All that could be ended; ``store_share`` is what a swapped page occupies in the store (1.0: all of it)."""
        found = []
        for pid, entry in self._entries.items():
            sizes = entry.sizes
            if sizes is None or pid == 1:
                continue
            gain = max(0, sizes.anon_kib - entry.shared_kib) + int(sizes.swapped_kib * store_share)
            flags = 0
            if not entry.own_adj and entry.priority <= PRIORITY_FOREGROUND:
                flags |= FLAG_DECLARED_FOREGROUND
            if entry.rule >= 0 and self._plan.rules[entry.rule].group != "process":
                flags |= FLAG_GROUP
            found.append(
                Candidate(
                    pid,
                    entry.start,
                    entry.priority,
                    gain,
                    sizes.anon_kib,
                    sizes.swapped_kib,
                    self._grace_of(entry),
                    flags,
                    entry.rule,
                    entry.name,
                )
            )
        return found

    def _may_share(self, entry: Entry, sizes: Sizes) -> bool:
        """Could enough be shared with the parent that a walk through the page tables is worth its time?

        The walk also holds the memory of a victim that dies meanwhile, so it must be rare: a child cannot share more
        than its parent has.
        """
        parent = self._entries.get(entry.parent)
        if not entry.forked or parent is None or parent.sizes is None or sizes.anon_kib < PRIVATE_MIN_KIB:
            return False
        return (parent.sizes.anon_kib + parent.sizes.swapped_kib) * SHARE_WORTH >= sizes.anon_kib

    def rule_of(self, pid: int) -> Rule | None:
        """The rule of a process, None when none matched or it is not known."""
        entry = self._entries.get(pid)
        return self._plan.rules[entry.rule] if entry is not None and entry.rule >= 0 else None

    def pids(self) -> list[int]:
        """All known processes."""
        return list(self._entries)

    def _grace_of(self, entry: Entry) -> int:
        if entry.grace_ms >= 0:
            return entry.grace_ms
        return self._grace.get(class_of(entry.priority), 0)

    def _identify(self, pid: int, again: bool = False) -> None:
        known = self._entries.get(pid)
        if pid in self._excluded or (known is not None and not again):
            return
        stat = read_stat(self._proc, pid)
        if stat is None or KTHREADD in (pid, stat.parent):
            self._entries.pop(pid, None)
            return
        entry = Entry(stat.start_ticks, stat.parent, stat.comm)
        index = self._match(pid, entry)
        entry.grace_ms = -1
        if index is not None:
            rule = self._plan.rules[index]
            entry.rule = index
            entry.own_adj = False
            entry.priority = PRIORITY_NEVER if rule.protect else rule.priority
            entry.grace_ms = rule.grace_ms
            if self._plan.mirror:
                self._mirror(pid, entry.priority)
        else:
            entry.priority = read_oom_score_adj(self._proc, pid) or 0
        parent = self._entries.get(stat.parent)
        entry.forked = parent is not None and read_exe(self._proc, pid) == read_exe(self._proc, stat.parent)
        if known is not None and known.start == entry.start:
            entry.sizes = known.sizes
            entry.shared_kib = known.shared_kib
        self._entries[pid] = entry

    def _match(self, pid: int, entry: Entry) -> int | None:
        if not self._rows:
            return None
        facts: dict[str, str | int | None] = {"comm": entry.name}
        if "exe" in self._fields:
            facts["exe"] = read_exe(self._proc, pid) or None
        if "cmdline" in self._fields:
            facts["cmdline"] = read_cmdline(self._proc, pid)
        if "cgroup" in self._fields or "unit" in self._fields:
            path = read_cgroup(self._proc, pid)
            facts["cgroup"] = path
            facts["unit"] = unit_of_cgroup(path)
        if "user" in self._fields:
            sizes = read_sizes(self._proc, pid)
            if sizes is not None:
                facts["uid"] = sizes.user
                facts["user"] = _user_name(sizes.user)
        return match_rule(self._rows, facts)

    def _mirror(self, pid: int, priority: int) -> None:
        """Make the kernel's choice ours, should it ever have to choose."""
        if self._plan.dry_run or read_oom_score_adj(self._proc, pid) in (priority, None):
            return
        path = f"{self._proc}/{pid}/oom_score_adj"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, b"%d" % priority)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            self._report(
                "degraded", (("feature", "oom_score_adj"), ("cost", f"{path}: {error.strerror}")), "warning"
            )

    def _private_kib(self, pid: int, anon_kib: int) -> int:
        """Memory that is this process's alone (smaps_rollup, Linux 4.14): what its death alone returns."""
        data = read_once(f"{self._proc}/{pid}/smaps_rollup")
        if not data:
            return anon_kib
        clean, dirty = find_number(data, b"Private_Clean:"), find_number(data, b"Private_Dirty:")
        return anon_kib if clean is None or dirty is None else min(anon_kib, clean + dirty)


def _user_name(uid: int) -> str | None:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
