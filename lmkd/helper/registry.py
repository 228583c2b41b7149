"""What applications and managers set for processes, in shared memory: it outlives the helper and the talker.

The helper alone writes. A slot with an odd turn is one that a helper died over: it counts as free.
"""

from __future__ import annotations

import struct

from lmkd.helper.entry import PRIVILEGED
from lmkd.values import value

SLOTS = 256
SLOTS_OF_USER, SLOTS_OF_USERS = 64, 192
"""Of them, those that one user without privileges may fill, and all of these users together."""
_SLOT = struct.Struct("=IiQIhBxIiQ32s")
_OWN, _OWN_AT = struct.Struct("=I2xB"), 16
"""User and flags of a slot."""
_TURN = struct.Struct("=I")
SLOTS_BYTES = SLOTS * _SLOT.size
NAME_BYTES = 32
LEFT_KEPT = 8


@value
class Slot:
    """One process: ``flags`` are those of ``helper.entry``, ``group`` 0 for none; ``owner`` set it."""

    pid: int
    start_ticks: int
    uid: int
    priority: int
    flags: int
    group: int
    owner: int
    owner_start: int
    name: bytes


class Registry:
    """The slots by process. A reader makes one for each look; the helper keeps one for good."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._places: dict[int, int] = {}
        self._left: list[Slot] = []
        """Some that have died lately and had a group: the order to end it may come after their end."""
        for place in range(SLOTS):
            turn, pid = struct.unpack_from("=Ii", view, place * _SLOT.size)
            if pid > 0 and turn % 2 == 0:
                self._places[pid] = place

    def __len__(self) -> int:
        return len(self._places)

    def pids(self) -> list[int]:
        """Every process that has a slot."""
        return list(self._places)

    def find(self, pid: int, start_ticks: int | None = None) -> Slot | None:
        """What is set for a process; with ``start_ticks`` for this one only, not for an earlier one of its number."""
        place = self._places.get(pid)
        if place is None:
            return None
        turn, *row = _SLOT.unpack_from(self._view, place * _SLOT.size)
        slot = Slot(*row)
        torn = turn % 2 or _TURN.unpack_from(self._view, place * _SLOT.size)[0] != turn
        if torn or slot.pid != pid or (start_ticks is not None and slot.start_ticks != start_ticks):
            return None
        return slot

    def put(self, slot: Slot) -> bool:
        """Set it in place of what was set; False when there is no room for one more, or for one more of its user."""
        place = self._places.get(slot.pid)
        if place is None:
            place = self._free(slot)
            if place is None:
                return False
        self._write(place, slot)
        self._places[slot.pid] = place
        return True

    def drop(self, pid: int) -> None:
        """Forget a process; one that has no slot is fine."""
        slot = self.find(pid)
        place = self._places.pop(pid, None)
        if place is None:
            return
        if slot is not None and slot.group:
            self._left = [*self._left[1 - LEFT_KEPT :], slot]
        self._write(place, Slot(0, 0, 0, 0, 0, 0, 0, 0, b""))

    def owned(self, owner: int, owner_start: int) -> list[int]:
        """The processes for which this one has set something."""
        found = (self.find(pid) for pid in self._places)
        return [slot.pid for slot in found if slot and (slot.owner, slot.owner_start) == (owner, owner_start)]

    def members(self, pid: int) -> list[Slot]:
        """The others of its group: registered by the same name, and of the same user."""
        mine = self.find(pid) or next((slot for slot in reversed(self._left) if slot.pid == pid), None)
        if mine is None or not mine.group:
            return []
        found = (self.find(other) for other in self._places if other != pid)
        return [slot for slot in found if slot and (slot.group, slot.uid) == (mine.group, mine.uid)]

    def _free(self, slot: Slot) -> int | None:
        if not slot.flags & PRIVILEGED:
            rows = (_OWN.unpack_from(self._view, place * _SLOT.size + _OWN_AT) for place in self._places.values())
            uids = [uid for uid, flags in rows if not flags & PRIVILEGED]
            if uids.count(slot.uid) >= SLOTS_OF_USER or len(uids) >= SLOTS_OF_USERS:
                return None
        taken = set(self._places.values())
        return next((place for place in range(SLOTS) if place not in taken), None)

    def _write(self, place: int, slot: Slot) -> None:
        at = place * _SLOT.size
        turn = _TURN.unpack_from(self._view, at)[0] & 0xFFFFFFFE
        _TURN.pack_into(self._view, at, turn + 1)
        _SLOT.pack_into(
            self._view, at, turn + 1, slot.pid, slot.start_ticks, slot.uid, slot.priority, slot.flags, slot.group,
            slot.owner, slot.owner_start, slot.name[:NAME_BYTES],
        )  # fmt: skip
        _TURN.pack_into(self._view, at, (turn + 2) & 0xFFFFFFFF)
