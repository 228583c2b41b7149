"""What all sessions of Android's protocol share while a talker lives: who is connected, and what clients have said."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

from lmkd.control.android import Level
from lmkd.control.android_kill import Facts
from lmkd.control.hands import Hands, Peer, Registered, VictimNotice
from lmkd.values import value

DEFAULT_RELEASE = 15
RELEASE_WITH_RSS = 16
"""From here on PROCKILL has the RSS, and the framework (ProcessList.java) takes it with nothing else."""
CONNECTIONS_MAX = 32
RECORDS_MAX = 512
VICTIMS_MAX = 64
LEVELS_MAX = 6
_KEPT = struct.Struct("=BBxx12i")
"""Booted, number of levels, their pages and adj."""
_REFUSAL_CHARS = 200

K = TypeVar("K")
V = TypeVar("V")


@value
class Record:
    """What a client said of a process besides its priority, which the registry has. ``kind`` is kept, no more."""

    start_ticks: int
    uid: int
    kind: int


class Shared:
    """One for all sessions of a talker; what must outlive that is in ``memory`` and in the registry of ``Hands``.

    ``release`` is the Android release that the clients are of (``control.android_release``).
    """

    def __init__(self, release: int = DEFAULT_RELEASE, memory: memoryview | bytearray | None = None) -> None:
        self.with_rss = release >= RELEASE_WITH_RSS
        self._memory = memory if memory is not None else bytearray(_KEPT.size)
        self._refused = 0
        self._refusal = ""
        self._connections: Counter[tuple[int, int]] = Counter()
        self._records: dict[int, Record] = {}
        self._victims: dict[tuple[int, int], int] = {}
        self._facts: dict[int, Facts] = {}

    @property
    def booted(self) -> bool:
        """Has a client said that the system has booted?"""
        return bool(_KEPT.unpack_from(self._memory)[0])

    def boot(self) -> None:
        """A client says so."""
        self._keep_said(True, self.levels)

    @property
    def levels(self) -> tuple[Level, ...]:
        """What TARGET gave last."""
        _, count, *numbers = _KEPT.unpack_from(self._memory)
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return tuple(Level(pages, adj) for pages, adj in pairs)[: min(count, LEVELS_MAX)]

    def set_levels(self, levels: tuple[Level, ...]) -> None:
        """What TARGET gives."""
        self._keep_said(self.booted, levels)

    def _keep_said(self, booted: bool, levels: tuple[Level, ...]) -> None:
        numbers = [number for level in levels for number in (level.minfree_pages, level.adj)]
        _KEPT.pack_into(self._memory, 0, booted, len(levels), *numbers, *[0] * (2 * LEVELS_MAX - len(numbers)))

    def status(self, hands: Hands) -> Mapping[str, Any]:
        """For the status: connections, processes registered, levels, and what was refused (which no reply says)."""
        return {
            "connections": self._connections.total(),
            "registered": len(list(hands.records())),
            "minfree": [{"pages": level.minfree_pages, "adj": level.adj} for level in self.levels],
            "refused": self._refused,
            "refusal": self._refusal,
        }

    def connect(self, peer: Peer) -> bool:
        """One more connection of this process; False over the limit."""
        if self._connections.total() >= CONNECTIONS_MAX:
            return False
        self._connections[peer.pid, peer.start_ticks] += 1
        return True

    def disconnect(self, peer: Peer) -> None:
        """One less; with the last one its records are unclaimed."""
        who = peer.pid, peer.start_ticks
        self._connections[who] -= 1
        if self._connections[who] <= 0:
            del self._connections[who]

    def refuse(self, reason: str) -> None:
        """Count a message or a record that was refused."""
        self._refused += 1
        self._refusal = reason[:_REFUSAL_CHARS]

    def owns(self, peer: Peer, found: Registered) -> bool:
        """Is it this registrant who has registered it?"""
        return (found.owner, found.owner_start) == (peer.pid, peer.start_ticks)

    def may_claim(self, peer: Peer, found: Registered | None) -> bool:
        """May this registrant have the record: a new one, its own, or of somebody who has no connection any more?"""
        return found is None or self.owns(peer, found) or (found.owner, found.owner_start) not in self._connections

    def remember(self, pid: int, record: Record) -> None:
        """Keep what was said of a process; beyond the bound the oldest is forgotten."""
        _keep(self._records, pid, record, RECORDS_MAX)

    def forget(self, pid: int) -> None:
        """Its record was removed, or it has ended."""
        self._records.pop(pid, None)

    def is_first(self, notice: VictimNotice) -> bool:
        """Is this the first signal for the process? A second one (SIGKILL after its grace) is no second kill."""
        identity = (notice.pid, notice.start_ticks)
        if identity not in self._victims:
            _keep(self._victims, identity, notice.sequence, VICTIMS_MAX)
        return self._victims[identity] == notice.sequence

    def uid_of(self, pid: int, notice: VictimNotice | None) -> int:
        """Whose a victim was: by the word of who registered it, else as the notice has it; -1: not known."""
        record = self._records.get(pid)
        if record is not None and (notice is None or notice.start_ticks == record.start_ticks):
            return record.uid
        return notice.uid if notice is not None else -1

    def facts(self, pid: int, hands: Hands, notice: VictimNotice | None = None) -> Facts:
        """What is known of a victim beyond its record: looked up once, while the table still has it."""
        known = self._facts.get(pid)
        if known is not None and (notice is None or known.start_ticks == notice.start_ticks):
            return known
        row = next((row for row in hands.candidates() if row.get("pid") == pid), {})
        facts = Facts(
            uid=self.uid_of(pid, notice),
            start_ticks=notice.start_ticks if notice is not None else None,
            resident_kib=row.get("resident_kib"),
            swapped_kib=row.get("swapped_kib"),
        )
        _keep(self._facts, pid, facts, VICTIMS_MAX)
        return facts


def _keep(entries: dict[K, V], key: K, entry: V, limit: int) -> None:
    entries.pop(key, None)
    entries[key] = entry
    while len(entries) > limit:
        del entries[next(iter(entries))]
