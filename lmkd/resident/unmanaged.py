"""What a service says that nobody waits for: nothing. And the choice, so that only who is waited for pays for more."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.plan import Plan
    from lmkd.policy.step import State

NEVER_MS = float("inf")


class Unmanaged:
    """See ``lmkd.resident.manager.Manager``."""

    def ready(self, status: str) -> None:
        """Nobody waits for it."""

    def reloading(self, t_ms: float) -> None:
        """Nobody waits for its end."""

    def stopping(self) -> None:
        """Nobody waits for it."""

    def alive(self, t_ms: float, state: State) -> float:
        """Nobody watches: no need to turn."""
        return NEVER_MS


def manager_of(plan: Plan) -> Unmanaged:
    """Whom this plan tells."""
    if plan.notify_fd < 0 and plan.ready_fd < 0:
        return Unmanaged()
    from lmkd.resident.manager import Manager

    return Manager(plan)
