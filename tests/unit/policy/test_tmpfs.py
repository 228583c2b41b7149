"""Memory in files: told from anonymous growth; the ladder from telling to a death, and who dies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from lmkd.held import Clean, Explain, Tend, TmpfsAnswer
from lmkd.model import Candidate, Kill, Sample
from lmkd.policy.growth import ShmemWatch
from lmkd.policy.step import State
from lmkd.policy.tmpfs import (
    ASK_EVERY_MS,
    CLEAN_HOLDS_MS,
    CLEAN_LATE_MS,
    FRESH_MS,
    LINGERS_MS,
    Tmpfs,
    answer_to,
    decide,
    drains,
    may_ask,
    notice,
    tend,
)
from lmkd.policy.victim import GAIN_MIN_KIB, Choice, Grower
from lmkd.values import replace
from tests.unit.policy.builders import (
    FLOOR_KIB,
    SETTINGS,
    Run,
    declared,
    kills_in,
    make_app,
    make_sample,
    make_settings,
    pids,
    with_headroom,
)

FILLS = ShmemWatch(0.0, 0, 30_000.0)
STILL = ShmemWatch(0.0, 0, 0.0)
HELD = Tmpfs(-1.0, 0.0, 50_000)
ASKED = Tmpfs(growing_ms=1000.0, asked_ms=900.0, held_kib=50_000)
RUNGS = make_settings(tmpfs_rungs=True)


def answer(t_ms: float = 1000.0, writer: int = 0, **changes: Any) -> TmpfsAnswer:
    return replace(TmpfsAnswer(t_ms, writer), **changes)


def gains(*rows: tuple[int, int]) -> tuple[tuple[int, int, int], ...]:
    """(pid, KiB) as the helper answers: with the start of ``make_app``."""
    return tuple((pid, 1000 + pid, kib) for pid, kib in rows)


# --- a drain


def test_files_that_take_half_of_the_consumption_are_a_drain() -> None:
    sample = make_sample(5.0, shmem_kib=50_000)
    assert notice(Tmpfs(), FILLS, 60_000.0, sample) == Tmpfs(growing_ms=5.0, held_kib=50_000)
    assert notice(Tmpfs(), FILLS, 60_001.0, sample) == Tmpfs()


def test_files_that_grow_by_little_are_no_drain() -> None:
    assert notice(Tmpfs(), ShmemWatch(0.0, 0, 1023.0), 0.0, make_sample()) == Tmpfs()


def test_files_that_go_to_the_store_as_fast_as_they_grow_are_a_drain_once_one_was_seen_to_grow() -> None:
    turned_over = ShmemWatch(0.0, 0, 100.0, 0, 30_000.0)
    unseen, slow, seen = (
        make_sample(1000.0, tmpfs=found)
        for found in (answer(), answer(writer=5, fill_kib_s=4000.0), answer(writer=5, fill_kib_s=12_000.0))
    )
    quiet = replace(ASKED, growing_ms=-1.0)
    assert notice(quiet, turned_over, 30_000.0, unseen).growing_ms < 0
    assert notice(quiet, turned_over, 30_000.0, slow).growing_ms < 0
    assert notice(quiet, turned_over, 30_000.0, seen).growing_ms == 1000.0
    assert notice(quiet, turned_over, 61_000.0, seen).growing_ms < 0


def test_a_writer_that_waits_for_a_moment_has_not_stopped() -> None:
    growing = Tmpfs(growing_ms=100.0)
    assert drains(growing, 9e9, None, make_sample(100.0 + LINGERS_MS), SETTINGS)
    assert not drains(growing, 9e9, None, make_sample(101.0 + LINGERS_MS), SETTINGS)


def test_a_process_that_takes_half_of_the_consumption_is_no_drain_into_files() -> None:
    growing, sample = Tmpfs(growing_ms=0.0), make_sample(1.0)
    assert not drains(growing, 40_000.0, Grower(5, 1, 1, 20_000.0), sample, SETTINGS)
    assert drains(growing, 40_000.0, Grower(5, 1, 1, 19_999.0), sample, SETTINGS)


def test_files_that_stand_still_are_the_drain_while_all_is_at_rest() -> None:
    sample = make_sample(shmem_kib=50_000)
    assert drains(HELD, 0.0, None, sample, SETTINGS)
    assert not drains(HELD, 3000.0, None, sample, SETTINGS)
    assert not drains(Tmpfs(held_kib=1000), 0.0, None, sample, SETTINGS)


def test_a_drain_is_forgotten_once_the_files_are_gone() -> None:
    assert notice(HELD, STILL, 0.0, make_sample(shmem_kib=40_000)) == HELD
    assert notice(HELD, STILL, 0.0, make_sample(shmem_kib=39_999)).held_kib == 0


def test_while_nothing_comes_of_it_the_holders_are_asked_for_more_and_more_rarely() -> None:
    assert may_ask(Tmpfs(), make_sample(0.0))
    assert not may_ask(HELD, make_sample(ASK_EVERY_MS))
    assert may_ask(HELD, make_sample(ASK_EVERY_MS + 1))
    assert not may_ask(replace(HELD, asks=3), make_sample(8 * ASK_EVERY_MS))
    assert may_ask(replace(HELD, asks=30), make_sample(32 * ASK_EVERY_MS + 1))


def test_an_answer_counts_when_it_came_after_the_question_and_is_fresh() -> None:
    assert answer_to(ASKED, make_sample(1000.0, tmpfs=answer(900.0))) == answer(900.0)
    assert answer_to(ASKED, make_sample(1000.0, tmpfs=answer(899.0))) is None
    assert answer_to(ASKED, make_sample(901.0 + FRESH_MS, tmpfs=answer(900.0))) is None
    assert answer_to(Tmpfs(), make_sample(1000.0, tmpfs=answer(900.0))) is None
    assert answer_to(ASKED, make_sample(1000.0)) is None


# --- who dies


def chosen(
    apps: list[Candidate], found: TmpfsAnswer, shmem: ShmemWatch = FILLS, deficit_kib: int = 5000, **changes: Any
) -> Choice | Explain | str:
    table = Run(apps).table
    sample = make_sample(1000.0, shmem_kib=60_000, tmpfs=found)
    tmpfs = ASKED if shmem.rate_kib_s else replace(ASKED, growing_ms=-1.0)
    return decide(tmpfs, shmem, sample, make_settings(**changes), table, (), deficit_kib)[1]


def victim(choice: Choice | Explain | str) -> int:
    assert isinstance(choice, Choice), choice
    (one,) = choice.victims
    return one.pid


def test_who_fills_the_files_dies_though_nothing_comes_back_for_it() -> None:
    choice = chosen([make_app(5, 200, 900), make_app(6, 900, 12_000)], answer(writer=5))
    assert victim(choice) == 5 and isinstance(choice, Choice) and choice.reason.startswith("tmpfs: it fills")


def test_who_fills_a_file_that_goes_with_it_is_predicted_to_return_it() -> None:
    choice = chosen([make_app(5, 200, 900)], answer(writer=5, gains=gains((5, 80_000))))
    assert isinstance(choice, Choice) and choice.victims[0].predicted_kib == 80_000


def test_holders_below_the_writer_go_first_while_that_buys_time() -> None:
    apps, found = [make_app(5, 200), make_app(6, 900)], answer(writer=5, gains=gains((6, 60_000)))
    assert victim(chosen(apps, found, ShmemWatch(0.0, 0, 30_000.0))) == 5
    assert victim(chosen(apps, found, ShmemWatch(0.0, 0, 1900.0))) == 6
    assert victim(chosen(apps, found, ShmemWatch(0.0, 0, 30_000.0), runaway=False)) == 6


def test_when_nothing_grows_the_least_important_whose_death_returns_enough_dies() -> None:
    apps = [make_app(5, 200), make_app(6, 900), make_app(7, 900), make_app(8, 900, 50_000)]
    found = answer(writer=5, gains=gains((5, 90_000), (6, 4000), (7, 9000)))
    assert victim(chosen(apps, found, STILL, 3000)) == 6
    assert victim(chosen(apps, found, STILL, 5000)) == 7
    assert victim(chosen(apps, found, STILL, 50_000)) == 7


@pytest.mark.parametrize("app", [make_app(5, 0), make_app(5, -1000), declared(5)])
def test_neither_foreground_nor_protected_dies_for_files(app: Candidate) -> None:
    found = answer(writer=5, gains=gains((5, 90_000)))
    assert "foreground or protected" in str(chosen([app, make_app(6)], found))
    assert "no death returns it" in str(chosen([app, make_app(6)], found, STILL))


def test_a_pid_that_is_another_process_now_is_nobody() -> None:
    found = answer(gains=((5, 7, 90_000), (99, 1, 90_000)))
    assert isinstance(chosen([make_app(5)], found, STILL), str)


def test_a_death_that_returns_next_to_nothing_is_none_to_choose() -> None:
    assert isinstance(chosen([make_app(5)], answer(gains=gains((5, GAIN_MIN_KIB - 1))), STILL), str)
    assert victim(chosen([make_app(5)], answer(gains=gains((5, GAIN_MIN_KIB))), STILL)) == 5


def test_nobody_dies_before_it_is_known_who_holds_the_files() -> None:
    run = Run([make_app(5)])
    first, asked = decide(Tmpfs(), FILLS, make_sample(1000.0), SETTINGS, run.table, (), 1)
    assert isinstance(asked, Explain)
    assert isinstance(decide(first, FILLS, make_sample(1001.0), SETTINGS, run.table, (), 1)[1], str)


def test_a_kill_does_not_wait_for_an_answer_that_nobody_is_in_a_hurry_with() -> None:
    tended = Tmpfs(asked_ms=999.0, asks=1)
    assert isinstance(decide(tended, FILLS, make_sample(1000.0), SETTINGS, Run([]).table, (), 1)[1], Explain)


# --- the rungs before


def tended(tmpfs: Tmpfs, sample: Sample, level: str = "moderate", settings: Any = RUNGS) -> tuple[Tmpfs, Any]:
    after, actions = tend(tmpfs, sample, settings, level, 30_000, 0.0)
    return after, actions[0] if actions else None


def test_nothing_is_told_or_deleted_that_the_configuration_does_not_have() -> None:
    found = answer(deletable_kib=90_000)
    assert tended(Tmpfs(), make_sample(1000.0), settings=SETTINGS)[1] is None
    assert tended(ASKED, make_sample(1000.0, tmpfs=found), settings=SETTINGS)[1] is None
    assert tended(ASKED, make_sample(1000.0, tmpfs=found))[1] == Clean(74_956 + FLOOR_KIB - 30_000)


@pytest.mark.parametrize(("level", "told"), [("calm", False), ("low", False), ("moderate", True), ("critical", True)])
def test_whoever_is_to_be_told_is_told_before_somebody_must_die(level: str, told: bool) -> None:
    assert (tended(Tmpfs(), make_sample(1000.0), level)[1] == Tend(True)) is told


def test_who_fills_files_is_looked_for_before_memory_is_short() -> None:
    growing = Tmpfs(growing_ms=1000.0)
    assert tended(growing, make_sample(1000.0), "low", SETTINGS)[1] == Tend(False)
    assert tended(growing, make_sample(1000.0), "calm", SETTINGS)[1] is None


def test_a_deletion_has_landed_when_its_memory_is_back_or_time_is_over() -> None:
    found = answer(deletable_kib=90_000)
    flying, _ = tended(ASKED, make_sample(1000.0, tmpfs=found))
    more = {"free_kib": 140_000}
    done = replace(found, cleaned_ms=1010.0, deleted_kib=20_000)
    assert tended(flying, make_sample(1010.0, tmpfs=found, **more))[0].cleaning is not None
    landed, note = tended(flying, make_sample(1011.0, tmpfs=done, **more))
    assert landed.cleaning is None and landed.asked_ms < 0
    assert dict(note.fields) == {
        "wanted_kib": 49_953, "deleted_kib": 20_000, "returned_kib": 20_000, "ms": 11.0, "outcome": "returned"
    }  # fmt: skip
    assert tended(flying, make_sample(1050.0, tmpfs=done))[0].cleaning is not None
    assert dict(tended(flying, make_sample(1111.0, tmpfs=done))[1].fields)["returned_kib"] == 0
    assert dict(tended(flying, make_sample(1000.0 + CLEAN_LATE_MS))[1].fields)["outcome"] == "late"


def test_what_had_nothing_left_to_delete_is_not_asked_again_at_once() -> None:
    found = answer(deletable_kib=90_000)
    flying, _ = tended(ASKED, make_sample(1000.0, tmpfs=found))
    landed, _ = tended(flying, make_sample(1200.0, tmpfs=replace(found, cleaned_ms=1050.0)))
    again = replace(landed, asked_ms=1200.0)
    assert tended(again, make_sample(1300.0, tmpfs=answer(1250.0, deletable_kib=90_000)))[1] is None
    later = answer(3250.0, deletable_kib=90_000)
    assert isinstance(tended(again, make_sample(3300.0, tmpfs=later))[1], Clean)


def test_a_limit_is_looked_at_when_files_grow_and_now_and_then() -> None:
    limited = make_settings(tmpfs_limit_kib=16_000)
    below, over = make_sample(1000.0, shmem_kib=15_999), make_sample(1000.0, shmem_kib=16_000)
    assert tended(Tmpfs(), below, "calm", limited)[1] is None
    after, asked = tended(Tmpfs(), over, "calm", limited)
    assert asked == Tend(False, look=False) and after.asked_ms < 0
    assert tended(after, replace(over, t_ms=2000.0), "calm", limited)[1] is None
    assert tended(after, replace(over, t_ms=2000.0, shmem_kib=17_000), "calm", limited)[1] == Tend(False, look=False)
    assert tended(after, replace(over, t_ms=11_000.0), "calm", limited)[1] == Tend(False, look=False)


# --- the whole step


def test_a_kill_waits_for_what_a_deletion_returns_but_not_for_long() -> None:
    run = Run([make_app(5, 900, 20_000)], RUNGS)
    run.state = State(tmpfs=replace(ASKED, growing_ms=-1.0), level="critical")
    short = with_headroom(1000.0, FLOOR_KIB - 100, tmpfs=answer(deletable_kib=90_000))
    run.feed(short)
    assert any(isinstance(one, Clean) for one in run.actions) and run.kills == []
    run.feed(*(replace(short, t_ms=1000.0 + at) for at in range(10, int(CLEAN_HOLDS_MS), 10)))
    assert run.kills == []
    run.feed(replace(short, t_ms=1000.0 + CLEAN_HOLDS_MS))
    assert [pids(kill) for kill in run.kills] == [(5,)]


def test_a_forecast_without_time_does_not_wait_for_a_deletion() -> None:
    run = Run([make_app(5, 900, 20_000)], RUNGS)
    run.state = State(tmpfs=replace(ASKED, growing_ms=-1.0), level="critical")
    run.feed(with_headroom(1000.0, 0, tmpfs=answer(deletable_kib=90_000)))
    assert any(isinstance(one, Clean) for one in run.actions)
    assert [pids(kill) for kill in run.kills] == [(5,)]


PIDS = st.integers(1, 8)
APPS = st.lists(
    st.tuples(PIDS, st.sampled_from((-1000, 0, 200, 900)), st.integers(0, 30_000)),
    max_size=8,
    unique_by=lambda one: one[0],
)
ANSWERS = st.builds(
    lambda writer, rows, deletable: (writer, rows, deletable),
    st.integers(0, 9),
    st.lists(st.tuples(PIDS, st.integers(0, 90_000)), max_size=4, unique_by=lambda one: one[0]),
    st.sampled_from((0, 100, 40_000)),
)
MOMENTS = st.lists(
    st.tuples(
        st.sampled_from((10.0, 50.0, 200.0, 3000.0)), st.integers(-20_000, 9000), st.integers(-3000, 6000), ANSWERS
    ),
    min_size=5,
    max_size=40,
)


@effort(max_examples=300, deadline=None)
@given(APPS, MOMENTS, st.booleans(), st.booleans())
def test_for_files_nobody_dies_whose_death_returns_nothing_and_stops_nothing(
    specs: list[tuple[int, int, int]], moments: Any, rungs: bool, runaway: bool
) -> None:
    run = Run([make_app(pid, priority, gain) for pid, priority, gain in specs])
    run.settings = make_settings(tmpfs_rungs=rungs, runaway=runaway)
    priorities = {pid: priority for pid, priority, _ in specs}
    t_ms, shmem, cleaned_ms, dead = 1000.0, 50_000, -1.0, set[int]()
    for apart, headroom, grown, (writer, rows, deletable) in moments:
        t_ms, shmem = t_ms + apart, max(0, shmem + grown)
        found = answer(t_ms, writer, gains=gains(*rows), deletable_kib=deletable, cleaned_ms=cleaned_ms)
        before = run.state
        gone = tuple(victim.pid for victim in before.flight.victims) if before.flight else ()
        sample = with_headroom(t_ms, headroom, shmem_kib=shmem, tmpfs=found, gone=gone)
        actions = run.feed(sample)
        if any(isinstance(one, Clean) for one in actions):
            cleaned_ms = t_ms + 1
            assert rungs and before.tmpfs.cleaning is None
        for kill in kills_in(actions):
            check(kill, sample, run.state, priorities, dict(rows), writer)
            assert not dead & set(pids(kill))
            dead |= set(pids(kill))
    assert len(dead) <= len(specs)


def check(
    kill: Kill, sample: Sample, state: State, priorities: dict[int, int], rows: dict[int, int], writer: int
) -> None:
    if not kill.reason.startswith("tmpfs"):
        return
    (pid,) = pids(kill)
    assert priorities[pid] > 0
    grows = sample.t_ms - state.tmpfs.growing_ms <= LINGERS_MS and state.tmpfs.growing_ms >= 0
    assert rows.get(pid, 0) >= GAIN_MIN_KIB or (pid == writer and grows)
