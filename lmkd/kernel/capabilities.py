"""Owns what this process may do: its capabilities, and what each missing one costs.

Source: capabilities(7), include/uapi/linux/capability.h; CapEff and Uid of /proc/self/status.
"""

from __future__ import annotations

from lmkd.errors import CannotWorkError, KernelInterfaceError
from lmkd.kernel.files import read_text
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots

CAP_KILL = "CAP_KILL"
CAP_IPC_LOCK = "CAP_IPC_LOCK"
CAP_SYS_RESOURCE = "CAP_SYS_RESOURCE"

_TABLE = (
    (5, CAP_KILL, "only processes of lmkd's own user can be ended"),
    (
        23,
        "CAP_SYS_NICE",
        "no real-time priority for the guard, and no paging out of applications before pressure",
    ),
    (14, CAP_IPC_LOCK, "the guard's memory is not locked: a rescue may wait for the guard's own pages"),
    (24, CAP_SYS_RESOURCE, "oom_score_adj cannot be lowered: the kernel may choose lmkd or what it protects"),
    (21, "CAP_SYS_ADMIN", "no compressed store: swapon and zram are refused"),
    (12, "CAP_NET_ADMIN", "no process events: new processes are found by a slow scan"),
    (19, "CAP_SYS_PTRACE", "programs, memory and paging out of other users' processes are out of reach"),
)


@value
class Abilities:
    """The effective user and the effective capabilities (a bit mask) of this process."""

    user: int
    mask: int

    def has(self, name: str) -> bool:
        """Whether capability ``name`` of lmkd's list is effective."""
        return any(known == name and self.mask >> bit & 1 for bit, known, _cost in _TABLE)


def parse_abilities(text: str, where: str = "/proc/self/status") -> Abilities:
    """Read the lines Uid (its second number is the effective one) and CapEff; else KernelInterfaceError."""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        return Abilities(int(lines["Uid"].split()[1]), int(lines["CapEff"].strip(), 16))
    except (KeyError, IndexError, ValueError) as error:
        raise KernelInterfaceError(f"{where}: the lines Uid and CapEff are missing or odd") from error


def abilities(roots: Roots) -> Abilities:
    """The abilities of this process."""
    path = roots.proc / "self" / "status"
    return parse_abilities(read_text(path), str(path))


def missing_abilities(roots: Roots) -> tuple[tuple[str, str], ...]:
    """Each capability that is missing, with what that costs, the worst first."""
    own = abilities(roots)
    return tuple((name, cost) for _bit, name, cost in _TABLE if not own.has(name))


def require_workable(roots: Roots) -> None:
    """CannotWorkError (exit code 3) when lmkd can do nothing here: no /proc, or no right to signal others."""
    try:
        own = abilities(roots)
    except KernelInterfaceError as error:
        raise CannotWorkError(f"cannot work here: /proc is not readable: {error}") from error
    if own.user != 0 and not own.has(CAP_KILL):
        raise CannotWorkError(
            f"cannot work here: user {own.user} without {CAP_KILL} may not end other users' processes; "
            "start lmkd as root"
        )
