"""One step of the policy: ``step(state, sample, settings, table) -> (state, actions, wake)``. Pure."""

from __future__ import annotations

from lmkd.held import Explain
from lmkd.model import Kill, Note, Refresh, Sample, Settings, Trim, Wake
from lmkd.policy import asked, freeze, renice, tmpfs, trim
from lmkd.policy import flight as flights
from lmkd.policy import forecast as forecasts
from lmkd.policy.flight import Flight
from lmkd.policy.forecast import Forecast
from lmkd.policy.growth import Ballast, ShmemWatch, Watch, watch, watch_shmem, weigh
from lmkd.policy.headroom import Headroom, StoreRatio, forget_filling, headroom, measure_ratio, store_ends_ms
from lmkd.policy.learned import Learned, learn, with_learned
from lmkd.policy.offender import came_back
from lmkd.policy.pressure import Pressure, Signs, Stall, judge, measure_stall
from lmkd.policy.thrash import Thrash, after_kill, watch_thrash
from lmkd.policy.tmpfs import Tmpfs
from lmkd.policy.told import Judged, kill_numbers, pressure_notes, tell, tell_again_ms
from lmkd.policy.upkeep import Upkeep, keep_up
from lmkd.policy.victim import Choice, choose
from lmkd.policy.wake import next_wake
from lmkd.values import replace, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.model import Action, CandidateTable

REFRESH_EVERY_MS = 150.0
REFUSE_EVERY_MS = 2000.0
ENDED_KEPT = 64


@value
class State:
    """All that the policy remembers from one step to the next."""

    forecast: Forecast = Forecast()
    ratio: StoreRatio = StoreRatio()
    stall: Stall = Stall()
    thrash: Thrash = Thrash()
    watch: Watch = Watch()
    ballast: Ballast = Ballast()
    shmem: ShmemWatch = ShmemWatch()
    learned: Learned = Learned()
    tmpfs: Tmpfs = Tmpfs()
    flight: Flight | None = None
    level: str = "calm"
    """As others are told it: not lower again before it has been lower for a while."""
    judged: Judged = Judged()
    ended: tuple[tuple[int, int], ...] = ()
    """Victims of recent decisions: dead or stuck, and perhaps still in a table that was made before."""
    asked: tuple[tuple[int, int], ...] = ()  # kills that were asked for, and wait for their turn
    refreshed_ms: float = -1e9
    refused_ms: float = -1e9
    trimmed_ms: float = -1e9
    trimming: bool = False
    frost: freeze.Frost = freeze.Frost()
    lowered: renice.Lowered = renice.Lowered()
    upkeep: Upkeep = Upkeep()
    kills: int = 0
    room: Headroom = Headroom(0, 0, 0, 0)
    exhaustion_ms: float = forecasts.NEVER_MS


def step(
    state: State, sample: Sample, settings: Settings, table: CandidateTable
) -> tuple[State, tuple[Action, ...], Wake]:
    """What to do about this sample. At most one decision is in flight; its memory is accounted for before the next."""
    settings = with_learned(settings, state.learned)
    state, pressure = _observe(state, sample, settings)
    state, actions = _tell(state, sample, pressure)
    judged = state.judged.level
    if state.flight is not None:
        state, landed = _account(state, sample, settings)
        actions += landed
        if state.flight is None:
            # The next decision needs a forecast without the dead one's growth in it.
            pressure = judge(settings, _signs(state, sample), judged)
    if state.flight is None and not pressure.reason and came_back(state.watch.grower, state.room, settings, table):
        pressure = replace(pressure, reason="it came back after its kill, and grows again")
    frost, cold = freeze.decide(state.frost, sample, settings, table, pressure.shortage, state.stall)
    state, chores = _tend(replace(state, frost=frost), sample, settings, pressure.shortage)
    actions += cold + chores
    waits = pressure.reason.startswith("stall") and freeze.may_help(frost, sample)
    waits = waits or tmpfs.holds_up(state.tmpfs, sample, _is_urgent(state, settings))
    if state.flight is None and pressure.reason and not waits:
        state, decided = _decide(state, sample, settings, table, pressure)
        actions += decided
    state, obeyed = _obey(state, sample, settings, table, pressure)
    actions += obeyed
    if judged != "calm" and sample.t_ms - state.refreshed_ms >= REFRESH_EVERY_MS:
        state = replace(state, refreshed_ms=sample.t_ms)
        actions += (Refresh(judged == "critical" or state.room.free_kib <= 0),)
    state, trims = _trim(state, sample, settings, bool(pressure.reason))
    growing = state.watch.grower if state.flight is None else None  # a victim needs the processor to free its memory
    lowered, asks = renice.decide(state.lowered, sample, settings, table, growing, state.room)
    died = any(isinstance(action, Note) and action.event == "receipt" for action in actions)
    upkeep, chores = keep_up(state.upkeep, sample, settings, state.ratio, state.ballast.ratio, pressure.shortage, died)
    state = replace(state, lowered=lowered, upkeep=upkeep)
    # Critical is also told ahead: until then the forecast says when to look again.
    level = "moderate" if judged == "critical" and not pressure.reason else judged
    wake = next_wake(settings, level, state.room, state.forecast, state.flight is not None)
    after_ms = min(wake.after_ms, tell_again_ms(state.level, state.judged, sample.t_ms))
    return state, actions + trims + asks + chores, replace(wake, after_ms=after_ms)


def _tell(state: State, sample: Sample, pressure: Pressure) -> tuple[State, tuple[Action, ...]]:
    level, judged = tell(state.level, state.judged, pressure.level, sample.t_ms)
    notes = pressure_notes(state.level, level, pressure, state.room, state.forecast.rate_kib_s, sample)
    if judged is not state.judged or pressure.exhaustion_ms != state.exhaustion_ms:
        state = replace(state, level=level, judged=judged, exhaustion_ms=pressure.exhaustion_ms)
    return state, notes


def _tend(state: State, sample: Sample, settings: Settings, shortage: str) -> tuple[State, tuple[Action, ...]]:
    """What is done about files in memory before anybody dies. What comes back of them is no part of the slope."""
    if state.flight is not None:
        return state, ()
    before = state.tmpfs.cleaning
    files, chores = tmpfs.tend(
        state.tmpfs, sample, settings, shortage, state.room.total_kib, state.forecast.rate_kib_s
    )
    if before is not None and files.cleaning is None:
        state = replace(state, forecast=forecasts.restart(sample.t_ms, state.room.total_kib))
    return replace(state, tmpfs=files), chores


def _is_urgent(state: State, settings: Settings) -> bool:
    """Below the floor there still is the floor itself: what waits, waits until that goes as well."""
    return forecasts.exhaustion_ms(state.forecast.rate_kib_s, state.room.total_kib) <= settings.kill_horizon_ms / 2


def _trim(state: State, sample: Sample, settings: Settings, must_kill: bool) -> tuple[State, tuple[Action, ...]]:
    """Have idle applications stored while there is time, and no more once there is room or something must die."""
    busy = state.flight is not None or must_kill
    short = None if busy else trim.short_kib(settings, sample, state.room)
    if not short and state.trimming:
        return replace(state, trimming=False, trimmed_ms=sample.t_ms), (Trim(0),)
    if short is None or sample.t_ms - state.trimmed_ms < trim.ASK_EVERY_MS:
        return state, ()
    return replace(state, trimming=short > 0, trimmed_ms=sample.t_ms), (Trim(short),)


def _observe(state: State, sample: Sample, settings: Settings) -> tuple[State, Pressure]:
    ratio = measure_ratio(state.ratio, sample)
    ballast = weigh(state.ballast, sample)
    room = headroom(sample, settings, ratio.ratio, ballast.ratio, ballast.resident_kib)
    restated = 0
    known = state.ballast if state.ballast.pid != ballast.pid else ballast
    if ratio.ratio != state.ratio.ratio or ballast.ratio != state.ballast.ratio or known is not ballast:
        before = headroom(sample, settings, state.ratio.ratio, state.ballast.ratio, known.resident_kib)
        restated = room.total_kib - before.total_kib
    forecast = forecasts.observe(state.forecast, sample.t_ms, room.total_kib, restated)
    stall = measure_stall(state.stall, sample, settings.stall_window_ms)
    shmem = watch_shmem(state.shmem, sample)
    state = replace(
        state,
        ratio=ratio,
        room=room,
        ballast=ballast,
        forecast=forecast,
        stall=stall,
        thrash=state.thrash if sample.swapped_in is None else watch_thrash(state.thrash, sample, settings),
        watch=watch(state.watch, sample, settings, ratio.ratio),
        shmem=shmem,
        tmpfs=tmpfs.notice(state.tmpfs, shmem, forecast.steady_kib_s, sample),
    )
    return state, judge(settings, _signs(state, sample), state.judged.level)


def _signs(state: State, sample: Sample) -> Signs:
    grower = state.watch.grower
    own_kib = min(sample.anon_kib, state.ballast.resident_kib) if grower and grower.pid == state.ballast.pid else 0
    own_pct = own_kib * 100 // max(1, sample.anon_kib)
    lasts_ms, fails_ms = store_ends_ms(state.ratio, state.room, sample)
    return Signs(state.room, state.forecast, state.stall, lasts_ms, own_pct, fails_ms, state.thrash)


def _account(state: State, sample: Sample, settings: Settings) -> tuple[State, tuple[Action, ...]]:
    """Follow the kill in flight; when it lands, learn from its receipt and forget the slope it belonged to."""
    assert state.flight is not None
    grower = state.watch.grower
    grower_dies = grower is not None and any(victim.pid == grower.pid for victim in state.flight.victims)
    rate = 0.0 if grower_dies else state.forecast.rate_kib_s
    flight, landing, actions = flights.advance(state.flight, sample, rate, _is_urgent(state, settings))
    if landing is None:
        return replace(state, flight=flight), actions
    learned = learn(state.learned, landing) if flight.teaches else state.learned
    state = replace(
        state,
        flight=None,
        learned=learned,
        ended=(state.ended + tuple((victim.pid, victim.start_ticks) for victim in flight.victims))[-ENDED_KEPT:],
        forecast=forecasts.restart(sample.t_ms, state.room.total_kib),
        ratio=forget_filling(state.ratio, sample),
        stall=measure_stall(Stall(), sample, settings.stall_window_ms),
        thrash=after_kill(state.thrash, settings),
        watch=Watch() if grower_dies else state.watch,
        refreshed_ms=-1e9,
    )
    note = flights.receipt(flight, landing)
    taught = (("kill_ms", round(learned.kill_ms, 1)), ("gain_factor", round(learned.gain_factor, 2)))
    return state, (*actions, replace(note, fields=(*note.fields, *taught)))


def _decide(
    state: State, sample: Sample, settings: Settings, table: CandidateTable, pressure: Pressure
) -> tuple[State, tuple[Action, ...]]:
    grower = state.watch.grower
    if tmpfs.drains(state.tmpfs, state.forecast.steady_kib_s, grower, sample, settings):
        return _decide_tmpfs(state, sample, settings, table, pressure)
    choice = choose(
        table,
        settings,
        pressure.deficit_kib,
        state.forecast.steady_kib_s,
        renice.unhindered(state.lowered, grower),
        state.ended,
        state.learned.gain_factor,
    )
    if choice is None:
        return _refuse(state, sample, "nothing is left that may be ended and would return memory")
    return _launch(state, sample, settings, choice, pressure)


def _obey(
    state: State, sample: Sample, settings: Settings, table: CandidateTable, pressure: Pressure
) -> tuple[State, tuple[Action, ...]]:
    """One kill that was asked for: after those that must be, and like them the only one in flight."""
    if not sample.asked and not state.asked:
        return state, ()
    waiting, found = asked.take(state.asked + sample.asked, table, state.ended, state.flight is not None)
    state = replace(state, asked=waiting)
    if isinstance(found, Choice):
        return _launch(state, sample, settings, found, pressure)
    return state, (found,) if found is not None else ()


def _launch(
    state: State, sample: Sample, settings: Settings, choice: Choice, pressure: Pressure
) -> tuple[State, tuple[Action, ...]]:
    """One kill takes off. SIGTERM only where the priority has a grace and the true exhaustion is farther than it."""
    rate = state.forecast.rate_kib_s
    left_ms = forecasts.exhaustion_ms(rate, state.room.total_kib)
    gently = choice.grace_ms > 0 and left_ms > choice.grace_ms + settings.kill_horizon_ms
    signal = "SIGTERM" if gently else "SIGKILL"
    wait_ms = choice.grace_ms if gently else flights.STUCK_AFTER_MS
    predicted = sum(victim.predicted_kib for victim in choice.victims)
    flight = Flight(
        choice.victims,
        signal,
        sample.t_ms,
        sample.t_ms + wait_ms,
        predicted,
        flights.free_for_receipt_kib(sample),
        sample.t_ms,
        # How much of a file lies in the store is a guess, which says nothing of what other deaths return.
        teaches=not choice.reason.startswith("tmpfs"),
    )
    numbers = (*kill_numbers(pressure, state.room, state.stall, rate, sample), *choice.numbers)
    state = replace(state, flight=flight, kills=state.kills + len(choice.victims))
    return state, (Kill(choice.victims, signal, choice.reason, numbers),)


def _decide_tmpfs(
    state: State, sample: Sample, settings: Settings, table: CandidateTable, pressure: Pressure
) -> tuple[State, tuple[Action, ...]]:
    """One death at a time: of who fills them, or whose death returns some; after each it is asked anew."""
    files, choice = tmpfs.decide(
        state.tmpfs, state.shmem, sample, settings, table, state.ended, pressure.deficit_kib
    )
    state = replace(state, tmpfs=files)
    if isinstance(choice, Explain):
        return state, (choice,)
    if isinstance(choice, str):
        return _refuse(state, sample, choice)
    return _launch(replace(state, tmpfs=tmpfs.anew(files)), sample, settings, choice, pressure)


def _refuse(state: State, sample: Sample, reason: str) -> tuple[State, tuple[Action, ...]]:
    """Say why nothing is ended, not more often than a person could read it."""
    if sample.t_ms - state.refused_ms < REFUSE_EVERY_MS:
        return state, ()
    fields: tuple[tuple[str, object], ...] = (
        ("reason", reason),
        ("headroom_kib", state.room.total_kib),
        ("shmem_kib", sample.shmem_kib),
    )
    return replace(state, refused_ms=sample.t_ms), (Note("refusal", fields, "warning"),)
