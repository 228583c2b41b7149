"""The status as one JSON line: what the policy itself goes by, never computed a second way."""

from __future__ import annotations

from lmkd.guard.record import encode
from lmkd.model import Sample
from lmkd.values import as_dict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.model import Settings
    from lmkd.plan import Plan
    from lmkd.policy.step import State

_made: list[object] = []


def status_line(state: State, plan: Plan, wakeups: int, sample: Sample, counts: str) -> bytes:
    """Level, headroom, forecast, store, learned values and kills after the step that took this sample.

    ``counts`` are the recorder's members: encoded already, since they seldom change.
    """
    grower = state.watch.grower
    status: dict[str, object] = {
        "t_ms": sample.t_ms,
        "level": state.level,
        "headroom": as_dict(state.room),
        "forecast": {
            "rate_kib_s": round(state.forecast.rate_kib_s),
            "exhaustion_ms": round(state.exhaustion_ms),
            "grower_pid": grower.pid if grower else None,
            "grower_kib_s": round(grower.rate_kib_s) if grower else None,
        },
        "stall": {
            "some_pct": state.stall.some_pct,
            "full_pct": state.stall.full_pct,
            "refaults_s": round(state.stall.refaults_s),
        },
        "learned": as_dict(state.learned) | {"store_ratio": state.ratio.ratio},
        "kills": state.kills,
        "in_flight": [victim.pid for victim in state.flight.victims] if state.flight else [],
        "wakeups": wakeups,
        "dry_run": plan.dry_run,
        "started_ms": plan.started_ms,
    }
    if sample.store is not None:
        status["store"] = {"kind": plan.store_kind} | as_dict(sample.store)
    return f'{encode(status)[:-1]},{counts},"settings":{_settings_text(plan.settings)}}}'.encode()


def _settings_text(settings: Settings) -> str:
    """Half of the line, and the same until the next reload: made once."""
    if not _made or _made[0] is not settings:
        _made[:] = [settings, encode(as_dict(settings))]
    return str(_made[1])
