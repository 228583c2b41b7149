"""Ending a group: what belongs to a victim by its rule's ``group`` (tree or cgroup) gets the same signal."""

from __future__ import annotations

from lmkd.guard.act import RealPort
from lmkd.kernel.process import read_cgroup
from lmkd.model import PRIORITY_NEVER, Victim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmkd.helper.scout import Scout

ROOT = "/"


def descendants(pid: int, parents: Iterable[tuple[int, int]]) -> list[int]:
    """All processes below ``pid`` by (pid, parent) pairs as first seen: orphans still belong to who started them."""
    children: dict[int, list[int]] = {}
    for child, parent in parents:
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found and child != pid:
                found.append(child)
                waiting.append(child)
    return found


def members(scout: Scout, proc: str, pid: int, group: str, cgroup: str) -> list[int]:
    """The other processes of the victim's group; none for the root cgroup, in which everything may be."""
    if group == "tree":
        return descendants(pid, scout.parents())
    if group == "cgroup" and cgroup not in ("", ROOT):
        return [other for other in scout.pids() if other != pid and read_cgroup(proc, other) == cgroup]
    return []


def end_group(scout: Scout, port: RealPort, pids: list[int], signal: str) -> list[int]:
    """Signal each that is still who it was and is not protected. Returns who was signalled."""
    ended = []
    for pid in pids:
        known = scout.identity(pid)
        if known is None or known[1] <= PRIORITY_NEVER:
            continue
        handle = port.open(Victim(pid, known[0], "", known[1], -1, 0))
        if handle is None:
            continue
        if not port.signal(handle, signal):
            ended.append(pid)
        port.close(handle)
    return ended
