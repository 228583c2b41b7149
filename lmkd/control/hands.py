"""What a protocol sees of lmkd (``Hands``), and what the talker's loop sees of a protocol (``Session``).

A protocol is a class of sessions: one session a connection, without sockets and without a clock. The talker owns the
connections: it reads a message, gives it to the session, and sends what the session returns. Each listening socket
has a kind (``lmkd.helper.desk.sockets_of``), and ``lmkd.control.kinds.makers`` has what makes the sessions of a kind.

What changes anything becomes an *order* to the helper. ``Hands`` checks and authorises it at once (ControlError says
what is wrong), and returns its number; the helper's answer comes later, by ``Session.answered`` with that number.
"""

from __future__ import annotations

from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any, Protocol
else:
    Protocol = object  # who serves clients needs nothing else of typing, which costs 0.3 MB

LEVEL, EVENT, VICTIM, ABOUT_TO_KILL = "level", "event", "victim", "about_to_kill"
"""Kinds of notices. ``victim``: to whoever wants it, on each kill; ``about_to_kill``: the same, to the victim's own."""


@value
class Peer:
    """Who is at the other end, as the kernel told when it connected (SO_PEERCRED, SO_PEERGROUPS).

    ``start_ticks`` is its start time, 0 when it had gone already; ``number`` is that of the connection, never used
    twice by one talker; ``foreign``: it lives in another pid namespace, so the process ids that it knows are not ours.
    """

    number: int
    pid: int
    uid: int
    privileged: bool
    """root, or in the group ``control.group``: may do all."""
    start_ticks: int = 0
    foreign: bool = False


@value
class Process:
    """A process as it is now. ``uid`` is -1 where its user ids differ (a program with set-uid)."""

    pid: int
    start_ticks: int
    uid: int
    name: str


@value
class Registered:
    """A process whose priority or flags somebody set. ``priority`` None: only the rest; trim, freeze None: not said.

    ``owner`` is the process that did it, ``privileged`` whether that one might do all, ``record`` whether it was by a
    ``Wish`` for a record.
    """

    pid: int
    start_ticks: int
    uid: int
    priority: int | None
    trim: bool | None
    freeze: bool | None
    group: int
    owner: int
    privileged: bool
    name: str
    owner_start: int = 0
    record: bool = False


@value
class Wish:
    """What ``Hands.register`` shall set for a process. None: leave it as it is; ``record``: as ``Hands.records``."""

    pid: int
    priority: int | None = None
    name: str | None = None
    group: str | None = None
    trim: bool | None = None
    freeze: bool | None = None
    record: bool = False


@value
class Answer:
    """How an order ended. ``error`` is empty when it was carried out.

    Of ``register`` and ``remove`` it has the priority in force now, and the one before.
    """

    error: str = ""
    priority: int = 0
    previous: int = 0


@value
class LevelNotice:
    """The pressure level has changed. ``exhaustion_ms`` None: memory is not running out."""

    level: str
    previous: str
    t_ms: float
    headroom_kib: int
    exhaustion_ms: float | None
    reason: str


@value
class VictimNotice:
    """A process was signalled. ``grace_ms`` is the time until SIGKILL, 0 when that was the signal.

    ``uid`` is -1 and the sizes are 0 where that is not known any more.
    """

    sequence: int
    t_ms: float
    pid: int
    start_ticks: int
    name: str
    priority: int
    signal: str
    grace_ms: int
    reason: str
    predicted_kib: int
    uid: int = -1


class Hands(Protocol):
    """What sessions can ask for. Every method may raise ControlError, with a text for the peer."""

    def process(self, pid: int) -> Process:
        """Who that is now."""

    def registered(self, pid: int) -> Registered | None:
        """What is set for a process, None for nothing."""

    def records(self) -> Iterable[Registered]:
        """All that was registered as a record, by this talker's clients or an earlier one's."""

    def register(self, peer: Peer, wish: Wish) -> int:
        """Order: set what the wish says. The answer has the priority in force and the one before."""

    def remove(self, peer: Peer, pid: int) -> int:
        """Order: forget what is set for a process."""

    def purge(self, peer: Peer) -> int:
        """Order: forget what the peer's process has set, of all processes."""

    def trim(self, peer: Peer, pid: int, kib: int) -> int:
        """Order: page out ``kib`` of this process (of all that are idle: 0); 0 KiB: all of it."""

    def kill(self, peer: Peer, pid: int) -> int:
        """Order: have the guard end this process in its next step."""

    def reload(self, peer: Peer) -> int:
        """Order: read the configuration anew."""

    def refresh(self) -> int:
        """Order: look at all processes; answered when the table is fresh."""

    def status(self) -> Mapping[str, Any]:
        """The state of the service, keys with their units."""

    def policy(self) -> Iterable[Mapping[str, Any]]:
        """Every number of the policy, how it follows, and where it was given."""

    def tmpfs(self) -> Mapping[str, Any]:
        """Who holds memory in files."""

    def events_since(self, sequence: int) -> tuple[list[dict[str, Any]], int]:
        """The records from this number on that are left, oldest first, and the number to ask for next."""

    def candidates(self) -> Iterable[Mapping[str, Any]]:
        """Every process in the order in which it would be killed."""

    def level(self) -> LevelNotice:
        """The pressure level as it is, and how it came to it."""

    def metrics(self) -> str:
        """The service in numbers, as OpenMetrics text."""

    def kill_count(self, low: int, high: int) -> int:
        """How many processes with a priority from ``low`` to ``high`` were ended since lmkd started."""


class Session(Protocol):
    """One connection of one protocol. Nothing here may block, and whatever the bytes are nothing may be raised.

    At most one request is at work: while ``waiting`` is true or replies are unsent the talker reads no other.
    """

    @property
    def interests(self) -> frozenset[str]:
        """The kinds of notices that it wants (``LEVEL``, ``EVENT``, ``VICTIM``, ``ABOUT_TO_KILL``)."""

    @property
    def processes(self) -> Collection[int]:
        """Of whose end it wants to be told, if of any (``ABOUT_TO_KILL``)."""

    @property
    def waiting(self) -> bool:
        """Is a request at work that an order's answer will end?"""

    @property
    def keeps(self) -> bool:
        """Shall the connection be kept however long it is silent?"""

    def feed(self, message: bytes | None) -> list[bytes]:
        """A message came; None: one over the limit. Returns the replies, whole messages."""

    def answered(self, number: int, answer: Answer) -> list[bytes]:
        """The helper has answered an order of this session. Returns the replies."""

    def notify(self, kind: str, payload: object, dropped: int) -> bytes | None:
        """The message for a notice: LevelNotice, VictimNotice, or a record as a dict; None: not for this one.

        ``dropped`` notices before it found the queue full.
        """

    def closed(self) -> None:
        """The connection has ended: last orders, whose answers nobody hears."""
