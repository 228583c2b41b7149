"""What the policy promises on any board: held against random simulated boards and random traces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from lmkd.held import Explain, Tend, TmpfsAnswer
from lmkd.model import (
    FLAG_DECLARED_FOREGROUND,
    PRIORITY_NEVER,
    Candidate,
    Escalate,
    Kill,
    Note,
    Sample,
    StoreSample,
    Victim,
)
from lmkd.policy import flight as flights
from lmkd.policy.step import State, step
from lmkd.policy.table import PackedTable, table_of
from lmkd.policy.victim import GAIN_MIN_KIB
from lmkd.policy.wake import AFTER_MIN_MS, FLIGHT_MS
from lmkd.values import field_names, replace
from tests.unit.policy.builders import (
    LIMIT_KIB,
    RAM_KIB,
    SETTINGS,
    SWAP_KIB,
    kills_in,
    make_app,
    make_sample,
    make_settings,
)
from tests.unit.policy.simulated import AppSpec, BoardSpec, Turn, run

EXAMPLES = 25
PRIORITIES = (-1000, -500, 0, 0, 100, 500, 700, 900, 900, 1000)

APPS = st.builds(
    AppSpec,
    size_kib=st.integers(100, 40_000),
    priority=st.sampled_from(PRIORITIES),
    growth_kib_s=st.sampled_from((0, 0, 0, 500, 5_000, 30_000, 300_000)),
    grows_from_ms=st.sampled_from((0, 1000, 2500)),
    ratio=st.sampled_from((1.0, 1.3, 2.5, 4.0)),
    grace_ms=st.sampled_from((0, 0, 100, 500)),
    ignores_term=st.booleans(),
    stuck=st.sampled_from((False, False, False, True)),
    exit_ms=st.sampled_from((1.0, 10.0, 80.0, 1500.0)),
    late_ms=st.sampled_from((-60.0, 0.0, 0.0, 20.0, 150.0)),
    is_declared=st.booleans(),
)
GROWING = st.builds(
    AppSpec,
    size_kib=st.integers(1_000, 40_000),
    priority=st.sampled_from(PRIORITIES),
    growth_kib_s=st.sampled_from((5_000, 30_000, 300_000)),
    ratio=st.sampled_from((1.0, 2.5)),
    stuck=st.booleans(),
    late_ms=st.sampled_from((-60.0, 0.0, 150.0)),
    is_declared=st.booleans(),
)


def changed(spec: BoardSpec, **changes: Any) -> BoardSpec:
    """The same board but for these."""
    return BoardSpec(**{name: getattr(spec, name) for name in spec.__dataclass_fields__} | changes)


@st.composite
def boards(draw: st.DrawFn) -> BoardSpec:
    """A board with up to nine applications, of which at least one grows."""
    apps = [*draw(st.lists(APPS, max_size=8)), draw(GROWING)]
    return BoardSpec(
        apps=tuple(draw(st.permutations(apps))),
        cache_kib=draw(st.sampled_from((8_000, 30_000, 80_000))),
        dirty_kib=draw(st.sampled_from((0, 0, 5_000))),
        limit_pct=draw(st.sampled_from((0, 10, 30))),
        swap_pct=draw(st.sampled_from((0, 10, 60))),
        fault_meter=draw(st.booleans()),
        psi=draw(st.booleans()),
        vmstat=draw(st.booleans()),
        runaway=draw(st.booleans()),
        tmpfs_kib_s=0,
        wakes=tuple(draw(st.lists(st.sampled_from((0.0, 0.4, 7.0, 90.0, 700.0)), max_size=30))),
        table_delay_ms=draw(st.sampled_from((1.0, 50.0, 600.0))),
    )


def rows(table: PackedTable) -> list[Candidate]:
    return [table.row(index) for index in range(len(table))]


def decisions(turns: list[Turn]) -> Iterator[tuple[Turn, Kill]]:
    for turn in turns:
        for kill in kills_in(turn.actions):
            yield turn, kill


def landings(turns: list[Turn]) -> Iterator[tuple[Turn, tuple[Victim, ...], dict[str, object]]]:
    for turn in turns:
        for action in turn.actions:
            if isinstance(action, Note) and action.event == "receipt":
                assert turn.before.flight is not None
                yield turn, turn.before.flight.victims, dict(action.fields)


def free_of(turn: Turn) -> list[Candidate]:
    """The candidates of a turn that no decision before it has tried."""
    ended = {*turn.before.ended, *turn.after.ended}
    return [row for row in rows(turn.table) if (row.pid, row.start_ticks) not in ended]


def is_runaway(kill: Kill) -> bool:
    return kill.reason.startswith("runaway")


# --- whom


@effort(max_examples=EXAMPLES)
@given(boards())
def test_a_protected_process_never_is_a_victim(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    assert all(victim.priority > PRIORITY_NEVER for _turn, kill in decisions(turns) for victim in kill.victims)


@effort(max_examples=EXAMPLES)
@given(boards())
def test_victims_die_in_the_order_of_priorities_unless_one_runs_away(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    for turn, kill in decisions(turns):
        if not is_runaway(kill):
            worth = [row.priority for row in free_of(turn) if row.gain_kib >= GAIN_MIN_KIB]
            assert kill.victims[0].priority >= max(worth, default=PRIORITY_NEVER)


@effort(max_examples=EXAMPLES)
@given(boards())
def test_nothing_is_a_runaway_where_that_is_turned_off(spec: BoardSpec) -> None:
    turns, _board = run(changed(spec, runaway=False))
    assert not any(is_runaway(kill) for _turn, kill in decisions(turns))


@effort(max_examples=EXAMPLES)
@given(boards())
def test_victims_of_one_decision_share_a_priority_and_a_runaway_dies_alone(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    for _turn, kill in decisions(turns):
        assert len({victim.priority for victim in kill.victims}) == 1
        assert len({victim.pid for victim in kill.victims}) == len(kill.victims) <= SETTINGS.set_limit
        assert len(kill.victims) == 1 or not is_runaway(kill)


@effort(max_examples=EXAMPLES)
@given(boards())
def test_a_declared_foreground_is_never_a_runaway_and_dies_only_when_nothing_else_is_left(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    for turn, kill in decisions(turns):
        flags = {row.pid: row.flags for row in rows(turn.table)}
        taken = [victim for victim in kill.victims if flags[victim.pid] & FLAG_DECLARED_FOREGROUND]
        if not taken:
            continue
        assert not is_runaway(kill)
        others = [
            row.pid
            for row in free_of(turn)
            if not row.flags & FLAG_DECLARED_FOREGROUND
            and row.priority >= taken[0].priority
            and row.gain_kib >= GAIN_MIN_KIB
        ]
        assert not others, "an application that nobody declared was worth ending, and is as little important"


# --- one at a time


@effort(max_examples=EXAMPLES)
@given(boards())
def test_one_decision_is_in_flight_at_a_time(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    for turn in turns:
        kinds = [type(one).__name__ if not isinstance(one, Note) else one.event for one in turn.actions]
        assert kinds.count("Kill") <= 1
        if "Kill" in kinds and turn.before.flight is not None:
            assert "receipt" in kinds[: kinds.index("Kill")]


@effort(max_examples=EXAMPLES)
@given(boards())
def test_a_flight_lands_dead_and_settled_or_returned_or_stuck_after_its_time(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    for turn, victims, fields in landings(turns):
        flight, t_ms = turn.before.flight, turn.sample.t_ms
        assert flight is not None
        alive = [victim for victim in victims if victim.pid not in turn.dead]
        if fields["outcome"] == "dead":
            assert not alive
        elif fields["outcome"] == "stuck":
            assert alive and t_ms >= flight.killed_ms + flights.STUCK_AFTER_MS
        else:
            assert fields["outcome"] == "returned"
            assert flight.signal == "SIGKILL"


@effort(max_examples=EXAMPLES)
@given(boards())
def test_no_process_is_signalled_by_two_decisions_and_only_the_one_in_flight_is_escalated(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    signalled: set[tuple[int, int]] = set()
    for turn in turns:
        for action in turn.actions:
            if isinstance(action, Kill):
                identities = {(victim.pid, victim.start_ticks) for victim in action.victims}
                assert not identities & signalled
                signalled |= identities
            elif isinstance(action, Escalate):
                assert turn.before.flight is not None and turn.before.flight.signal == "SIGTERM"
                assert set(action.victims) <= set(turn.before.flight.victims)


# --- signals


@effort(max_examples=EXAMPLES)
@given(boards())
def test_sigterm_is_sent_only_to_those_that_all_have_a_grace(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    for turn, kill in decisions(turns):
        grace = {row.pid: row.grace_ms for row in rows(turn.table)}
        assert kill.signal in ("SIGTERM", "SIGKILL")
        assert kill.signal == "SIGKILL" or all(grace[victim.pid] > 0 for victim in kill.victims)


@effort(max_examples=EXAMPLES)
@given(boards())
def test_sigterm_is_followed_by_the_death_or_by_sigkill_within_the_grace_and_one_wake(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    for number, turn in enumerate(turns):
        for kill in (one for one in kills_in(turn.actions) if one.signal == "SIGTERM"):
            shortest = min(row.grace_ms for row in rows(turn.table) if row.pid in {v.pid for v in kill.victims})
            due_ms = turn.sample.t_ms + shortest + FLIGHT_MS
            later = next((one for one in turns[number:] if one.sample.t_ms > due_ms + 1e-6), None)
            flight = None if later is None else later.before.flight
            if flight is not None and flight.victims == kill.victims:
                assert flight.signal == "SIGKILL" or flight.gone_ms >= 0


# --- it ends


@effort(max_examples=EXAMPLES)
@given(boards())
def test_every_wake_is_ahead_and_finite_and_its_fault_period_a_power_of_two(spec: BoardSpec) -> None:
    turns, _board = run(spec)
    for turn in turns:
        assert AFTER_MIN_MS <= turn.wake.after_ms <= SETTINGS.idle_interval_ms
        assert math.isfinite(turn.wake.after_ms)
        assert (turn.wake.faults > 0) == spec.fault_meter
        assert turn.wake.faults & (turn.wake.faults - 1) == 0


@effort(max_examples=EXAMPLES)
@given(boards())
def test_there_are_no_more_decisions_than_processes_and_no_more_steps_than_reasons_to_wake(spec: BoardSpec) -> None:
    duration_ms = 4000.0
    turns, board = run(spec, duration_ms, turns_max=100_000)
    assert sum(len(kill.victims) for _turn, kill in decisions(turns)) <= len(spec.apps)
    by_timer = duration_ms / AFTER_MIN_MS
    by_faults = sum(app.growth_kib_s for app in spec.apps) * duration_ms / 1000 / (256 * 4)
    assert len(turns) <= by_timer + by_faults + len(spec.wakes) + 2 * len(board.apps) + 2


@effort(max_examples=EXAMPLES)
@given(boards(), st.integers(0, 200))
def test_the_same_moment_again_and_again_brings_nothing_new(spec: BoardSpec, number: int) -> None:
    turns, _board = run(spec, turns_max=number + 1)
    last = turns[-1]
    state, sample = last.after, replace(last.sample, gone=())
    seen = []
    for _again in range(20):
        state, actions, _wake = step(state, sample, make_settings(), last.table)
        seen.append(actions)
    assert not any(seen[8:]), "actions without end at one moment"


# --- when not


FREE = st.integers(RAM_KIB * 60 // 100, RAM_KIB * 80 // 100)
GAPS = st.sampled_from((20.0, 50.0, 400.0, 5000.0))
CUMULATIVE = st.one_of(st.none(), st.integers(0, 10**9))


@st.composite
def mostly_free(draw: st.DrawFn) -> list[Sample]:
    """A trace with more than half of the memory free, bursts and all, and whatever PSI and vmstat may say."""
    t_ms, samples = 0.0, []
    free = draw(FREE)
    for _number in range(draw(st.integers(1, 30))):
        gap = draw(GAPS)
        t_ms += gap
        free = min(RAM_KIB * 80 // 100, max(RAM_KIB * 60 // 100, free + draw(st.integers(-400, 400)) * int(gap)))
        samples.append(
            make_sample(
                t_ms,
                cause=draw(st.sampled_from(("psi full", "psi some", "faults", "timer"))),
                free_kib=free,
                some_us=draw(CUMULATIVE),
                full_us=draw(CUMULATIVE),
                refault_anon=draw(CUMULATIVE),
                refault_file=draw(CUMULATIVE),
                swapped_in=draw(CUMULATIVE),
                swapped_out=draw(CUMULATIVE),
            )
        )
    return samples


def feed(samples: list[Sample], table: PackedTable) -> list[Kill]:
    state, kills = State(), list[Kill]()
    for sample in samples:
        state, actions, _wake = step(state, sample, SETTINGS, table)
        kills += kills_in(actions)
    return kills


TABLE = table_of([make_app(pid, 900 - pid, 10_000) for pid in range(1, 9)])


@given(mostly_free())
def test_nothing_dies_with_memory_mostly_free_whatever_psi_says(samples: list[Sample]) -> None:
    assert feed(samples, TABLE) == []


@given(mostly_free(), st.integers(0, 200))
def test_nothing_dies_because_of_page_cache(samples: list[Sample], free_kib: int) -> None:
    cached = [replace(one, file_kib=one.free_kib, free_kib=free_kib, store=None) for one in samples]
    assert feed(cached, TABLE) == []


def perhaps(values: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), values)


KIB = st.integers(0, RAM_KIB)
ANSWERS = st.builds(
    TmpfsAnswer,
    t_ms=st.floats(0, 10**5),
    writer=st.integers(0, 9),
    gains=st.lists(st.tuples(st.integers(1, 9), st.integers(1001, 1009), KIB), max_size=4).map(tuple),
    deletable_kib=KIB,
    cleaned_ms=st.floats(-1, 10**5),
    deleted_kib=KIB,
    fill_kib_s=st.floats(0, 10**6),
)
ANY_SAMPLES = st.builds(
    Sample,
    t_ms=st.floats(0, 2000),
    cause=st.just("timer"),
    free_kib=st.one_of(st.integers(0, 12_000), KIB),
    file_kib=KIB,
    dirty_kib=KIB,
    anon_kib=KIB,
    shmem_kib=st.one_of(st.just(0), KIB),
    swap_total_kib=st.just(SWAP_KIB),
    swap_free_kib=st.integers(0, SWAP_KIB),
    store=st.one_of(
        st.none(), st.builds(StoreSample, KIB, KIB, st.integers(0, LIMIT_KIB), st.sampled_from((0, LIMIT_KIB)))
    ),
    some_us=perhaps(st.integers(0, 10**7)),
    full_us=perhaps(st.integers(0, 10**7)),
    refault_anon=perhaps(st.integers(0, 10**5)),
    refault_file=perhaps(st.integers(0, 10**5)),
    swapped_in=perhaps(st.integers(0, 10**6)),
    swapped_out=perhaps(st.integers(0, 10**6)),
    grower_pid=perhaps(st.integers(1, 9)),
    grower_share=st.floats(0, 1),
    grower_kib_s=st.floats(0, 10**6),
    grower_resident_kib=perhaps(KIB),
    grower_swapped_kib=perhaps(KIB),
    tmpfs=st.one_of(st.none(), ANSWERS),
    gone=st.lists(st.integers(1, 9), max_size=2).map(tuple),
)


def in_time(samples: list[Sample]) -> list[Sample]:
    """The same samples with their times in order."""
    times = sorted(one.t_ms for one in samples)
    return [replace(one, t_ms=at) for one, at in zip(samples, times, strict=True)]


TRACES = st.lists(ANY_SAMPLES, min_size=1, max_size=25).map(in_time)


@effort(max_examples=200)
@given(TRACES)
def test_readings_that_are_missing_or_make_no_sense_never_stop_the_policy(samples: list[Sample]) -> None:
    state = State()
    for sample in samples:
        state, _actions, wake = step(state, sample, SETTINGS, TABLE)
        assert 0 < wake.after_ms <= SETTINGS.idle_interval_ms


@effort(max_examples=200)
@given(TRACES, st.integers(1, 50_000))
def test_more_free_memory_never_turns_a_sample_that_kills_nobody_into_one_that_kills(
    samples: list[Sample], more_kib: int
) -> None:
    state = State()
    # Without files in memory: what goes into those is asked about first, and more memory can spare that question.
    for sample in (replace(one, shmem_kib=0, tmpfs=None) for one in samples):
        unresolved = state.flight is not None
        richer = replace(sample, free_kib=sample.free_kib + more_kib)
        _state, with_more, _wake = step(state, richer, SETTINGS, TABLE)
        state, actions, _wake = step(state, sample, SETTINGS, TABLE)
        # In flight it can: memory that is back ends the wait for it, and with that allows the next decision.
        assert unresolved or kills_in(actions) or not kills_in(with_more)


# --- tmpfs


def drained(spec: BoardSpec, kib_s: int, writer: int | None) -> BoardSpec:
    """The same board, on which nothing grows but a file in a tmpfs."""
    quiet = tuple(
        AppSpec(app.size_kib, ratio=app.ratio, exit_ms=app.exit_ms, late_ms=max(0.0, app.late_ms)) for app in spec.apps
    )
    return changed(spec, apps=quiet, tmpfs_kib_s=kib_s, tmpfs_writer=writer)


@effort(max_examples=EXAMPLES)
@given(boards(), st.sampled_from((5_000, 30_000, 200_000)), st.integers(0, 8))
def test_a_drain_into_tmpfs_ends_its_writer_at_most(spec: BoardSpec, kib_s: int, number: int) -> None:
    writer = 100 + number % len(spec.apps)
    turns, _board = run(drained(spec, kib_s, writer), 12_000.0)
    assert [victim.pid for _turn, kill in decisions(turns) for victim in kill.victims] in ([], [writer])
    if any(turn.after.level == "critical" for turn in turns):
        assert any(isinstance(one, Explain | Tend) for turn in turns for one in turn.actions)


@effort(max_examples=EXAMPLES)
@given(boards(), st.sampled_from((5_000, 30_000, 200_000)))
def test_nobody_dies_while_files_grow_whose_writer_is_not_known(spec: BoardSpec, kib_s: int) -> None:
    turns, _board = run(drained(spec, kib_s, None), 12_000.0)
    for turn, _kill in decisions(turns):
        assert turn.after.shmem.rate_kib_s < kib_s / 2


def test_nobody_dies_for_files_that_stopped_growing_and_whose_writer_is_not_known() -> None:
    spec = BoardSpec(tuple(AppSpec(15_000, ratio=1.3) for _number in range(4)), limit_pct=10, tmpfs_kib_s=30_000)
    turns, _board = run(spec, 12_000.0)
    assert list(decisions(turns)) == []


# --- pure


@effort(max_examples=EXAMPLES)
@given(boards())
def test_a_replay_of_the_recorded_samples_takes_the_same_decisions(spec: BoardSpec) -> None:
    turns, board = run(spec)
    state = State()
    for turn in turns:
        copied = table_of(rows(turn.table))
        state, actions, wake = step(state, turn.sample, board.settings, copied)
        assert (actions, wake, state) == (turn.actions, turn.wake, turn.after)


def frozen(one: object) -> bool:
    try:
        setattr(one, field_names(one)[0], None)
    except AttributeError:
        return True
    return False


@effort(max_examples=EXAMPLES)
@given(boards())
def test_states_actions_and_wakes_are_values(spec: BoardSpec) -> None:
    turns, _board = run(spec, 3000.0)
    for turn in turns:
        made: tuple[object, ...] = (turn.after, turn.wake, *turn.actions)
        assert len({hash(one) for one in made} | {hash(turn.after)}) <= len(made)
        assert all(frozen(one) for one in made)


# --- the simulation itself: a promise that is held only because nothing ever happens is none


@pytest.mark.parametrize(
    ("happens", "spec"),
    [
        (lambda kinds: "Kill" in kinds, BoardSpec((AppSpec(9000, growth_kib_s=30_000),))),
        (
            lambda kinds: "Escalate" in kinds and "Reap" in kinds,
            BoardSpec(
                (
                    AppSpec(9000, 500, growth_kib_s=20_000, ratio=1.0),
                    AppSpec(40_000, 900, grace_ms=100, ignores_term=True, exit_ms=80.0),
                ),
                runaway=False,
                swap_pct=0,
                cache_kib=160_000,
            ),
        ),
        (
            lambda kinds: "stuck" in kinds and kinds.count("Kill") > 1,
            BoardSpec((AppSpec(9000, stuck=True), AppSpec(30_000, growth_kib_s=30_000, stuck=True), AppSpec(9000))),
        ),
        (
            lambda kinds: "returned" in kinds,
            BoardSpec((AppSpec(30_000, growth_kib_s=30_000, exit_ms=80.0, late_ms=-60.0),), swap_pct=0),
        ),
    ],
    ids=("kill", "escalation", "stuck", "returned"),
)
def test_the_simulated_board_brings_about(happens: Callable[[list[object]], bool], spec: BoardSpec) -> None:
    turns, _board = run(spec, 20_000.0)
    kinds: list[object] = [type(action).__name__ for turn in turns for action in turn.actions]
    kinds += [fields["outcome"] for _turn, _victims, fields in landings(turns)]
    assert happens(kinds), kinds
