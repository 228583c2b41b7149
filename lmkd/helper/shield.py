"""The shield: what a declared foreground has in memory is out of reclaim's reach, by memory.low of its cgroup.

Source: Documentation/admin-guide/cgroup-v2.rst, memory.low: best effort, and bounded by that of the groups above.
Reclaim does not even look at a protected group, so its pages keep their "used lately" marks: on a processor without
such a mark in hardware (ARM without LPAE) each look costs the foreground a fault for every page.
"""

from __future__ import annotations

import os

from lmkd.kernel.freezer import is_path
from lmkd.kernel.pinned import read_once, read_whole
from lmkd.kernel.process import read_cgroup
from lmkd.model import FLAG_DECLARED_FOREGROUND, PRIORITY_FOREGROUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmkd.model import Candidate

RAM_SHARE_PCT = 40
"""All shielded groups together get no more of the memory than this: the rest must stay reclaimable."""
CHANGE_SHARE = 8
"""A group whose memory changed by less than an eighth keeps its value."""
ROOT = "/"
UNLIMITED = b"max"
PROCS_BYTES = 65536


class Shield:
    """Owns the values that were written, and puts back what was there before. ``mount`` is cgroup2's, "" for none."""

    def __init__(
        self,
        proc: str,
        mount: str,
        ram_kib: int,
        report: Callable[[str, tuple[tuple[str, object], ...], str], None],
    ) -> None:
        self._proc = proc
        self._mount = mount
        self._limit = ram_kib * 1024 * RAM_SHARE_PCT // 100
        self._report = report
        self._before: dict[str, bytes] = {}
        self._given: dict[str, int] = {}

    def renew(self, rows: Iterable[Candidate]) -> None:
        """Shield the groups of the declared foreground that nothing less important shares; drop all others."""
        if not self._mount:
            return
        rows = list(rows)
        groups = {read_cgroup(self._proc, row.pid) for row in rows if row.flags & FLAG_DECLARED_FOREGROUND}
        lesser = {row.pid for row in rows if row.priority > PRIORITY_FOREGROUND}
        left = self._limit
        shielded = set()
        for group in sorted(filter(is_path, groups)):
            current = self._number(group, "memory.current")
            if current is None or self._holds(group, lesser):
                continue
            shielded.add(group)
            wanted = min(current, left)
            left -= wanted
            self._give(group, wanted)
        dropped = [group for group in self._given if group not in shielded]
        for group in dropped:
            del self._given[group]
        if dropped:
            self._settle()

    def put_back(self) -> None:
        """Every value as it was."""
        for group, value in self._before.items():
            self._write(group, value)
        self._before, self._given = {}, {}

    def _give(self, group: str, wanted: int) -> None:
        given = self._given.get(group, 0)
        if wanted == given or abs(wanted - given) * CHANGE_SHARE < max(wanted, given):
            return
        path = group
        while path not in ("", ROOT):  # of the groups above as well, else theirs is the bound
            if path not in self._before:
                before = (read_once(f"{self._mount}{path}/memory.low") or b"").strip()
                if not before.isdigit() and before != UNLIMITED:
                    return
                self._before[path] = before
            path = path.rpartition("/")[0]
        self._given[group] = wanted
        self._settle()
        self._report("shield", (("cgroup", group), ("low_kib", wanted >> 10)), "info")

    def _settle(self) -> None:
        """Each group gets what the shielded ones in it need together, or keeps what it had when that is more."""
        for path, before in list(self._before.items()):
            needed = sum(low for group, low in self._given.items() if f"{group}/".startswith(f"{path}/"))
            if not needed:
                del self._before[path]
            self._write(path, before if before == UNLIMITED or int(before) >= needed else b"%d" % needed)

    def _holds(self, group: str, pids: set[int]) -> bool:
        """Is any of ``pids`` in the group? Of a group that cannot be read: yes."""
        data = read_whole(f"{self._mount}{group}/cgroup.procs", PROCS_BYTES)
        return data is None or any(int(line) in pids for line in data.split() if line.isdigit())

    def _number(self, group: str, name: str) -> int | None:
        data = (read_once(f"{self._mount}{group}/{name}") or b"").strip()
        return int(data) if data.isdigit() else None

    def _write(self, group: str, value: bytes) -> None:
        try:
            descriptor = os.open(f"{self._mount}{group}/memory.low", os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        except OSError:
            return  # the group is gone, or has no memory controller
        try:
            os.write(descriptor, value)
        except OSError:
            return
        finally:
            os.close(descriptor)
