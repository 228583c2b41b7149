"""What the receipts of deaths taught: how long a kill takes on this board, and how true its predictions are."""

from __future__ import annotations

from lmkd.model import Settings
from lmkd.policy.flight import Landing
from lmkd.policy.victim import GAIN_MIN_KIB
from lmkd.values import replace, value

GAIN_FACTOR_MIN, GAIN_FACTOR_MAX = 0.5, 1.2
KILL_MS_MIN, KILL_MS_MAX = 5.0, 300.0
LEARN = 0.3


@value
class Learned:
    """What receipts taught, bounded, from safe defaults.

    ``kill_ms``: how long it takes on this board from the signal until half of what a death returns is back.
    ``gain_factor``: how true predictions are (1.0: they came true).
    """

    kill_ms: float = 40.0
    gain_factor: float = 1.0


def learn(learned: Learned, landing: Landing) -> Learned:
    """What is known after this landing; a death that was to return little teaches nothing."""
    if landing.outcome != "dead" or landing.predicted_kib < 4 * GAIN_MIN_KIB:
        return learned
    truth = landing.returned_kib / landing.predicted_kib
    factor = (1 - LEARN) * learned.gain_factor + LEARN * truth
    kill_ms = (1 - LEARN) * learned.kill_ms + LEARN * landing.half_ms
    return Learned(
        min(KILL_MS_MAX, max(KILL_MS_MIN, kill_ms)), min(GAIN_FACTOR_MAX, max(GAIN_FACTOR_MIN, factor))
    )


def with_learned(settings: Settings, learned: Learned) -> Settings:
    """The settings with the horizon that this board's kills need: one that helps later is decided earlier."""
    needed_ms = settings.stall_budget_ms + int(learned.kill_ms)
    return settings if needed_ms <= settings.kill_horizon_ms else replace(settings, kill_horizon_ms=needed_ms)
