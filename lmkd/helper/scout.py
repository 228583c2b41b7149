"""The scout: keeps the table of candidates, by process events where the kernel has them, else by a slow scan."""

from __future__ import annotations

import errno
import os

from lmkd.helper.entry import PRIVILEGED, Classes, Entry, base_adj_of, take_set
from lmkd.helper.facts import Matcher
from lmkd.helper.gain import gain_kib, is_to_be_weighed, may_share, mean_weight, weight_of
from lmkd.helper.mirror import Mirror
from lmkd.helper.sample import sample_pages, shares_of
from lmkd.kernel.clock import now_ms
from lmkd.kernel.proc_events import parse_events
from lmkd.kernel.process import (
    list_pids,
    read_cgroup,
    read_cmdline,
    read_exe,
    read_oom_score_adj,
    read_private_kib,
    read_sizes,
    read_stat,
)
from lmkd.model import PRIORITY_NEVER, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmkd.helper.registry import Registry
    from lmkd.kernel.process import Sizes
    from lmkd.plan import Plan

GROWN_MIN_KIB = 1024
COMMAND_MIN_KIB = 256
"""Nobody smaller is ended, so nobody smaller has to be known again; of a dying process it cannot be read any more."""
DEAD_KEPT = 8
WEIGHED_AT_ONCE, WEIGHED_PAGES = 4, 16
"""So many processes are sampled in one look at all, in so many pages: a sample takes some 7 ms of a 500 MIPS core."""
EVENT_BYTES = 65536


class Scout:
    """Owns the entries. ``excluded`` are lmkd's own processes, which are nobody's victims."""

    def __init__(
        self, plan: Plan, excluded: Iterable[int], report: Callable[[str, tuple[tuple[str, object], ...], str], None]
    ) -> None:
        self.registry: Registry | None = None  # None as long as nothing was ever set for any process
        self._proc = plan.proc
        self._report = report
        self._excluded = set(excluded)
        self._talker = 0
        self._entries: dict[int, Entry] = {}
        self._dead: dict[int, Entry] = {}
        self._fresh: set[int] = set()
        self._grower, self._grown_kib, self._asked_ms = 0, 0, now_ms()
        self.complete = False
        self.go_by(plan)

    def go_by(self, plan: Plan) -> None:
        """The rules and classes are this plan's from now on; what was measured stays."""
        self._plan = plan
        self._matcher = Matcher(plan.proc, plan.rules)
        self._mirror = Mirror(plan.proc, plan.mirror and not plan.dry_run, self._report)
        self._classes = Classes(plan)
        for pid in self.pids():
            self._identify(pid, again=True)

    def scan(self) -> None:
        """Find every process: at the start, after lost events, and where the kernel sends none."""
        pids = list_pids(self._proc)
        for pid in set(self._entries) - set(pids):
            self._bury(pid)
        for pid in pids:
            self._identify(pid)
        self.complete = True

    def take_events(self, descriptor: int) -> list[int]:
        """Read all waiting process events; a scan follows when the kernel says that some were lost.

        Returns the processes that are new or have changed.
        """
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
                    self._bury(event.pid)
                    self._fresh.discard(event.pid)
                else:
                    self._fresh.add(event.pid)
        lost = not self.complete
        if lost:
            self.scan()
        fresh = list(self._fresh)
        for pid in fresh:
            self._identify(pid, again=True)
        self._fresh.clear()
        return self.pids() if lost else fresh

    def _watch_growth(self, pid: int, entry: Entry, sizes: Sizes) -> None:
        if entry.sizes is not None:
            grown = sizes.anon_kib + sizes.swapped_kib - entry.sizes.anon_kib - entry.sizes.swapped_kib
            if grown > self._grown_kib:
                self._grower, self._grown_kib = pid, grown

    def _watch_activity(self, pid: int, entry: Entry, sizes: Sizes) -> None:
        """Note since when a process has done nothing; of one with threads or that runs the processor time tells."""
        activity = sizes.activity
        if activity is None:
            stat = read_stat(self._proc, pid)
            activity = stat.cpu_ticks if stat is not None else -1
        if activity != entry.activity:
            entry.activity, entry.idle_since_ms = activity, now_ms()

    def idle_since_ms(self) -> dict[int, float]:
        """Since when each process has done nothing, as far as the looks at it tell."""
        return {pid: entry.idle_since_ms for pid, entry in self._entries.items()}

    def take_grower(self) -> tuple[int, float]:
        """(process that grew most since this was asked, by ``GROWN_MIN_KIB`` at least, or 0; its growth in KiB/s)."""
        pid, grown_kib = self._grower, self._grown_kib
        since_ms, self._asked_ms = self._asked_ms, now_ms()
        self._grower, self._grown_kib = 0, 0
        if grown_kib < GROWN_MIN_KIB:
            return 0, 0.0
        return pid, grown_kib / max(1.0, self._asked_ms - since_ms) * 1000

    def _bury(self, pid: int) -> None:
        """A victim's death may be known before the order to end its group is read."""
        entry = self._entries.pop(pid, None)
        if self.registry is not None:
            self.registry.drop(pid)
        if entry is not None and (entry.cgroup or entry.command is not None):
            self._dead.pop(pid, None)
            self._dead[pid] = entry
            if len(self._dead) > DEAD_KEPT:
                del self._dead[next(iter(self._dead))]

    def measure(self, private: bool, only: Iterable[int] | None = None) -> None:
        """Read the sizes of all, or of ``only`` these; ``private`` also walks page tables of those that may share."""
        for pid in list(self._entries) if only is None else only:
            entry = self._entries.get(pid)
            if entry is None:
                continue
            sizes = read_sizes(self._proc, pid)
            if sizes is None:
                self._bury(pid)
                continue
            if entry.sizes is not None and entry.sizes.user != sizes.user:
                entry = self._change_user(pid, entry, sizes.user)
            self._watch_growth(pid, entry, sizes)
            self._watch_activity(pid, entry, sizes)
            entry.sizes = sizes
            entry.name = sizes.name
            if entry.command is None and sizes.anon_kib >= COMMAND_MIN_KIB:
                entry.command = hash(read_cmdline(self._proc, pid))
            if entry.own_adj:
                adj = read_oom_score_adj(self._proc, pid)
                if adj is not None:
                    entry.priority = adj
            if private and may_share(entry, self._entries.get(entry.parent), sizes):
                entry.shared_kib = max(0, sizes.anon_kib - read_private_kib(self._proc, pid, sizes.anon_kib))

    def _change_user(self, pid: int, entry: Entry, user: int) -> Entry:
        """It is another user's now, such as after a setuid program: what its former one set is of no account."""
        slot = self.registry.find(pid, entry.start) if self.registry is not None else None
        if self.registry is not None and slot is not None and not slot.flags & PRIVILEGED and slot.uid != user:
            self.registry.drop(pid)
        self._identify(pid, again=True)
        return self._entries.get(pid, entry)

    def weigh(self, page_bytes: int) -> None:
        """Look into pages of a few of those whose pages are not known."""
        for pid in [pid for pid, entry in self._entries.items() if is_to_be_weighed(entry)][:WEIGHED_AT_ONCE]:
            entry = self._entries[pid]
            pages = sample_pages(self._proc, pid, page_bytes, most=WEIGHED_PAGES)
            entry.weight = weight_of(shares_of(pages)) or entry.weight
            entry.weighed_kib = entry.size_kib()

    def candidates(self, store_share: float) -> list[Candidate]:
        """All that could be ended; ``store_share`` is what a swapped page occupies in the store (1.0: all of it)."""
        found = []
        t_ms, mean = now_ms(), mean_weight(self._entries.values())
        for pid, entry in self._entries.items():
            sizes = entry.sizes
            if sizes is None or pid == 1:
                continue
            gain = gain_kib(entry, sizes, store_share, mean)
            gain += entry.files_kib if t_ms < entry.files_until_ms else 0
            found.append(
                Candidate(
                    pid,
                    entry.start,
                    entry.priority,
                    gain,
                    sizes.anon_kib,
                    sizes.swapped_kib,
                    self._classes.grace_ms(entry),
                    self._classes.flags(entry),
                    entry.rule,
                    entry.name,
                )
            )
        return found

    def parents(self) -> list[tuple[int, int]]:
        """(pid, parent when it was first seen) of all known processes."""
        return [(pid, entry.parent) for pid, entry in self._entries.items()]

    def identity(self, pid: int) -> tuple[int, int] | None:
        """(start ticks, priority) of a known process."""
        entry = self._entries.get(pid)
        return (entry.start, entry.priority) if entry is not None else None

    def entry(self, pid: int) -> Entry | None:
        """What is known of a process, also of one that died just now; to be looked at only."""
        return self._entries.get(pid) or self._dead.get(pid)

    def cgroup_of(self, pid: int) -> str:
        """The cgroup that a process of a cgroup rule was in when it was first seen; empty for any other."""
        entry = self.entry(pid)
        return entry.cgroup if entry is not None else ""

    def exclude(self, pid: int) -> None:
        """The talker is lmkd's own as well; 0: it has ended, and its process id may be anybody's."""
        self._talker = pid
        self._entries.pop(pid, None)

    def renew(self, pid: int) -> None:
        """Look at a process anew: it may be a new one, or something was set for it."""
        self._identify(pid, again=True)
        self.measure(private=False, only=(pid,))

    def pids(self) -> list[int]:
        """All known processes."""
        return list(self._entries)

    def _identify(self, pid: int, again: bool = False) -> None:
        """Make or renew the entry of a process, when it is not the one that is known, and when told ``again``.

        A scan looks twice at each before it takes it as known: the first look may fall between fork and exec.
        """
        if pid in self._excluded or pid == self._talker:
            return
        stat = read_stat(self._proc, pid)
        if stat is None or stat.kernel_thread:
            self._entries.pop(pid, None)
            return
        known = self._entries.get(pid)
        if known is not None and known.start != stat.start_ticks:
            known = None
        if known is not None and known.settled and known.comm == stat.comm and not again:
            return
        entry = Entry(stat)
        entry.settled = known is not None
        adj = read_oom_score_adj(self._proc, pid)
        entry.base_adj = base_adj_of(adj or 0, known, self._entries.get(entry.parent))
        index = self._matcher.match(pid, stat.comm)
        if adj is None and index is None:
            self._entries.pop(pid, None)
            return
        entry.grace_ms = -1
        if index is not None:
            rule = self._plan.rules[index]
            entry.rule = index
            entry.own_adj = False
            entry.priority = PRIORITY_NEVER if rule.protect else rule.priority
            entry.grace_ms = rule.grace_ms
            entry.cgroup = read_cgroup(self._proc, pid) if rule.group == "cgroup" else ""
        else:
            entry.priority = entry.base_adj
        take_set(entry, self.registry, pid)
        self._mirror.write(pid, adj, entry.priority)
        parent = self._entries.get(stat.parent)
        entry.forked = parent is not None and read_exe(self._proc, pid) == read_exe(self._proc, stat.parent)
        if known is not None:
            entry.go_on_from(known)
        self._entries[pid] = entry
