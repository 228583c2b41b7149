"""Files in memory: finds who holds them, tells who is to be told, deletes what the configuration allows."""

from __future__ import annotations

from lmkd.guard.commands import CLEAN, EXPLAIN, TEND, TEND_LOOK, TEND_SHORT
from lmkd.guard.exchange import GAINS_MAX
from lmkd.held import TmpfsAnswer
from lmkd.helper.clean import Cleaner
from lmkd.helper.groups import members
from lmkd.helper.holders import Holders, gain_of, measure
from lmkd.kernel.clock import now_ms
from lmkd.model import PRIORITY_NEVER
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmkd.guard.exchange import Exchange
    from lmkd.helper.entry import Entry
    from lmkd.helper.holders import Found, Mount
    from lmkd.helper.hooks import Hooks
    from lmkd.helper.scout import Scout
    from lmkd.plan import Plan, TmpfsRule

COMMANDS = (EXPLAIN, TEND, CLEAN)
REASONS = ("memory is held by files", "memory is held by files on tmpfs: no death returns it")
SAY_EVERY_MS = 2000.0
TELL_EVERY_MS = 10_000.0
TELL_MIN_KIB = 1024
"""A mount that holds less has no part in a shortage."""
GAIN_FRESH_MS = 5000.0
GAIN_MIN_KIB = 64
NAMES_MAX = 5


class Tmpfs:
    """Owns the last look. In a dry run nothing is told and nothing deleted."""

    def __init__(
        self, plan: Plan, exchange: Exchange, scout: Scout, hooks: Hooks, store_share: Callable[[], float]
    ) -> None:
        self._plan = plan
        self._exchange = exchange
        self._scout = scout
        self._hooks = hooks
        self._store_share = store_share
        self.holders = Holders(plan.proc)
        self._answer = TmpfsAnswer(0.0)
        self._held: frozenset[tuple[int, int]] = frozenset()
        self._said_ms = -SAY_EVERY_MS
        self._told_ms: dict[str, float] = {}

    def take(self, commands: Iterable[tuple[int, int, int]]) -> None:
        """Of all that the guard asked for, those of ``COMMANDS``; one that came several times is done once."""
        asked: dict[int, int] = {}
        for operation, _, argument in commands:
            if operation in COMMANDS:
                asked[operation] = asked.get(operation, 0) | argument if operation == TEND else argument
        if asked:
            self.obey(asked)

    def obey(self, asked: dict[int, int]) -> None:
        """Those of ``COMMANDS`` that are among ``asked``, the guard's operations with the argument of each."""
        wanted = asked.get(TEND, 0)
        if EXPLAIN in asked or wanted & TEND_LOOK or (TEND in asked and self._over_a_limit()):
            found = self._look()
            self._say(found, EXPLAIN in asked)
            self._tend(found, EXPLAIN in asked or bool(wanted & TEND_SHORT))
        if CLEAN in asked:
            self._clean(asked[CLEAN])

    def _over_a_limit(self) -> bool:
        """Is there a mount that holds more than it should? Often asked; who holds it is another question."""
        limits = {rule.mount: rule.limit_kib for rule in self._plan.tmpfs if rule.limit_kib}
        return any((mount.used_kib or 0) > limits[mount.path] for mount in measure(self._plan.proc, limits))

    def _look(self) -> Found:
        found = self.holders.look(self._scout.pids())
        self._held = frozenset((file.device, file.inode) for file in found.files)
        deletable = sum(self._deletable(rule) for rule in self._plan.tmpfs)
        gains = self._gains(found)
        writer, fill_kib_s = self.holders.grows(found.files)
        self._answer = replace(
            self._answer, t_ms=now_ms(), writer=writer, gains=gains, deletable_kib=deletable, fill_kib_s=fill_kib_s
        )
        self._exchange.set_tmpfs_answer(self._answer)
        return found

    def _gains(self, found: Found) -> tuple[tuple[int, int, int], ...]:
        """(pid, start, KiB) of everybody whose death returns any, the least important first; the table has it too."""
        store_share, until_ms = self._store_share(), now_ms() + GAIN_FRESH_MS
        rows: list[tuple[int, int, int, int]] = []
        for pid in sorted({pid for file in found.files if file.ends for pid in file.pids}):
            entry = self._scout.entry(pid)
            if entry is None:
                continue
            kib = gain_of(found, self._group(pid, entry), store_share)
            entry.files_kib, entry.files_until_ms = kib, until_ms
            if kib >= GAIN_MIN_KIB and entry.priority > PRIORITY_NEVER:
                rows.append((-entry.priority, -kib, pid, entry.start))
        return tuple((pid, start, -kib) for _, kib, pid, start in sorted(rows)[:GAINS_MAX])

    def _group(self, pid: int, entry: Entry) -> set[int]:
        """Who dies with it by its rule's ``group``; those that are protected do not."""
        rule = self._plan.rules[entry.rule] if entry.rule >= 0 else None
        if rule is None or rule.group == "process":
            return {pid}
        others = members(self._scout, self._plan.proc, pid, rule.group, entry.cgroup)
        known = ((other, self._scout.identity(other)) for other in others)
        return {pid, *(other for other, who in known if who is not None and who[1] > PRIORITY_NEVER)}

    def _deletable(self, rule: TmpfsRule) -> int:
        if not rule.delete:
            return 0
        cleaner = Cleaner(self._plan.proc, rule, self._held)
        try:
            return sum(old.kib for old in cleaner.files())
        finally:
            cleaner.close()

    def _tend(self, found: Found, short: bool) -> None:
        """Tell about each mount over its limit, and when memory is short about all; delete down to the limit."""
        for rule in self._plan.tmpfs:
            mount = next((one for one in found.mounts if one.ours and one.path == rule.mount), None)
            if mount is None:
                continue
            used_kib = mount.used_kib
            over_kib = used_kib - rule.limit_kib if rule.limit_kib and used_kib is not None else 0
            if over_kib > 0 or (short and (used_kib is None or used_kib >= TELL_MIN_KIB)):
                self._tell(rule, mount, "limit" if over_kib > 0 else "short")
            if over_kib > 0 and rule.delete:
                self._delete(rule, over_kib, "it holds more than its limit")

    def _tell(self, rule: TmpfsRule, mount: Mount, reason: str) -> None:
        t_ms = now_ms()
        if not rule.tell or self._plan.dry_run or t_ms - self._told_ms.get(rule.mount, -1e9) < TELL_EVERY_MS:
            return
        self._told_ms[rule.mount] = t_ms
        told = {"LMKD_EVENT": "tmpfs", "LMKD_REASON": reason, "LMKD_MOUNT": rule.mount}
        told |= {"LMKD_USED_KIB": str(mount.used_kib or ""), "LMKD_LIMIT_KIB": str(rule.limit_kib or "")}
        self._hooks.run(rule.tell, 0, told)
        fields = (("mount", rule.mount), ("program", rule.tell), ("reason", reason), ("used_kib", mount.used_kib))
        self._exchange.post("told", fields)

    def _clean(self, wanted_kib: int) -> None:
        """Oldest first on each mount in the order of the configuration, until enough has gone."""
        gone_kib = 0
        for rule in self._plan.tmpfs:
            if rule.delete and gone_kib < wanted_kib:
                gone_kib += self._delete(rule, wanted_kib - gone_kib, "memory is short")
        left = max(0, self._answer.deletable_kib - gone_kib)
        self._answer = replace(self._answer, cleaned_ms=now_ms(), deleted_kib=gone_kib, deletable_kib=left)
        self._exchange.set_tmpfs_answer(self._answer)

    def _delete(self, rule: TmpfsRule, wanted_kib: int, reason: str) -> int:
        """KiB that the deleted files had."""
        files, gone_kib = 0, 0
        names: list[str] = []
        cleaner = Cleaner(self._plan.proc, rule, self._held)
        try:
            for old in cleaner.files():
                if gone_kib >= wanted_kib:
                    break
                if self._plan.dry_run or cleaner.delete(old):
                    files, gone_kib = files + 1, gone_kib + old.kib
                    names += ["/".join(old.path)] if len(names) < NAMES_MAX else []
        finally:
            cleaner.close()
        if files:
            fields: tuple[tuple[str, object], ...] = (
                ("mount", rule.mount), ("reason", reason), ("wanted_kib", wanted_kib), ("files", files),
                ("deleted_kib", gone_kib), ("oldest", tuple(names)), ("rule", rule.where),
                ("dry_run", self._plan.dry_run),
            )  # fmt: skip
            self._exchange.post("deleted", fields, "warning")
        return gone_kib

    def _say(self, found: Found, explain: bool) -> None:
        """The record of who holds the memory; without being asked to explain, not more often than one could read it."""
        t_ms = now_ms()
        if not explain and t_ms - self._said_ms < SAY_EVERY_MS:
            return
        self._said_ms = t_ms
        futile = not self._answer.gains and not self._answer.deletable_kib
        full = max(found.mounts, key=_used, default=None)
        files = sorted(found.files, key=_size, reverse=True)[:NAMES_MAX]
        pids = list(dict.fromkeys(pid for file in files for pid in sorted(file.pids)))[:NAMES_MAX]
        fields = (
            ("reason", REASONS[futile]),
            ("mount", full.path if full else None),
            ("used_kib", full.used_kib if full else None),
            ("holders", tuple(f"{self._name(pid)}[{pid}]" for pid in pids)),
            ("files", tuple(f"{file.name} {file.kib} KiB ({file.kind})" for file in files)),
            ("writer_pid", self._answer.writer or None),
            ("gains", tuple(f"{pid}: {kib} KiB" for pid, _, kib in self._answer.gains[:NAMES_MAX])),
            ("deletable_kib", self._answer.deletable_kib),
            ("complete", found.complete),
        )
        self._exchange.post("futile" if futile else "holders", fields, "warning" if explain else "info")

    def _name(self, pid: int) -> str:
        entry = self._scout.entry(pid)
        return entry.name if entry is not None else "?"


def _used(mount: Mount) -> int:
    return mount.used_kib or 0


def _size(file: object) -> int:
    return int(getattr(file, "kib", 0))
