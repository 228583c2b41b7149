"""The whole step over short stories: who dies, who does not, what the record says, and what is learnt."""

from __future__ import annotations

from typing import Any

import pytest

from lmkd.held import Explain, Tend, TmpfsAnswer
from lmkd.model import Candidate, Escalate, Reap, Refresh, Sample
from lmkd.policy.learned import GAIN_FACTOR_MAX, GAIN_FACTOR_MIN, Learned
from lmkd.policy.step import ENDED_KEPT, REFRESH_EVERY_MS, REFUSE_EVERY_MS, State
from lmkd.values import replace
from tests.unit.policy.builders import (
    FLOOR_KIB,
    LIMIT_KIB,
    SETTINGS,
    Run,
    declared,
    growing,
    make_app,
    make_sample,
    make_settings,
    make_store,
    pids,
    with_headroom,
)

LOW_KIB = FLOOR_KIB - 1000
"""Headroom below its floor: something must die."""
BACKGROUND = tuple(make_app(pid, 900, 4000) for pid in range(11, 19))


def short(t_ms: float = 1000.0, **changes: Any) -> Sample:
    """A board that is 1000 KiB below its floor."""
    return with_headroom(t_ms, LOW_KIB, **changes)


def grows_out(pid: int = 5, **changes: Any) -> tuple[Sample, Sample]:
    """A process grows 50 MB/s until the headroom is below its floor."""
    return (
        growing(1000, LOW_KIB + 5000, pid, 60_000, **changes),
        growing(1100, LOW_KIB, pid, 65_000, **changes),
    )


# --- the runaway


def test_a_growing_application_whose_growth_eats_all_others_is_the_runaway() -> None:
    run = Run([*BACKGROUND, make_app(5, 100, 60_000)])
    run.feed(*grows_out())
    assert [pids(kill) for kill in run.kills] == [(5,)]
    kill = run.kills[0]
    assert kill.reason.startswith("runaway") and kill.signal == "SIGKILL"
    assert kill.victims[0].predicted_kib == 65_000
    numbers = dict(kill.numbers)
    assert numbers["grows_kib_s"] == 50_000
    assert numbers["others_return_kib"] == 8 * 4000
    assert numbers["others_last_ms"] == round(8 * 4000 / 50)
    assert numbers["horizon_ms"] == SETTINGS.runaway_horizon_ms
    assert (numbers["trigger"], numbers["cause"]) == ("headroom below its floor", "faults")


def test_a_compressible_runaway_is_predicted_by_what_its_pages_occupy() -> None:
    run = Run([*BACKGROUND, make_app(5, 100, 1000)])
    run.feed(
        *(
            replace(one, grower_resident_kib=20_000, grower_swapped_kib=at)
            for one, at in zip(grows_out(), (50_000, 55_000), strict=True)
        )
    )
    assert run.kills[0].victims[0].predicted_kib == 20_000 + 22_000


def test_the_order_of_priorities_holds_where_runaways_are_turned_off() -> None:
    run = Run([*BACKGROUND, make_app(5, 100, 60_000)], make_settings(runaway=False))
    run.feed(*grows_out())
    assert {victim.priority for victim in run.kills[0].victims} == {900}


@pytest.mark.parametrize(
    "grower", [make_app(5, 0, 60_000), declared(5, 60_000), make_app(5, 100, 60_000, flags=1), make_app(5, -1000)]
)
def test_a_foreground_or_protected_application_is_no_runaway(grower: Candidate) -> None:
    run = Run([*BACKGROUND, grower])
    run.feed(*grows_out())
    assert 5 not in pids(run.kills[0])


def test_growth_that_the_others_outlast_is_no_runaway() -> None:
    run = Run([make_app(11, 900, 2_000_000), make_app(5, 100, 60_000)])
    run.feed(*grows_out())
    assert pids(run.kills[0]) == (11,)


def test_growth_that_is_the_smaller_part_of_the_consumption_is_no_runaway() -> None:
    run = Run([*BACKGROUND, make_app(5, 100, 60_000)])
    run.feed(growing(1000, LOW_KIB + 20_000, 5, 60_000), growing(1100, LOW_KIB, 5, 65_000))
    assert 5 not in pids(run.kills[0])


# --- priorities


def test_with_no_configuration_the_one_that_grows_dies_not_the_smallest() -> None:
    run = Run([*(make_app(pid, 0, 6000) for pid in (11, 12, 13)), make_app(5, 0, 60_000)])
    run.feed(*grows_out())
    assert [pids(kill) for kill in run.kills] == [(5,)]


def test_the_least_important_dies_first_whatever_its_size() -> None:
    run = Run([make_app(1, 100, 7000), make_app(2, 500, 90_000), make_app(3, 900, 50_000)])
    run.feed(short())
    assert pids(run.kills[0]) == (3,)


def test_the_smallest_that_suffices_dies() -> None:
    run = Run([make_app(1, gain_kib=500), make_app(2, gain_kib=9000), make_app(3, gain_kib=90_000)])
    run.feed(short())
    assert pids(run.kills[0]) == (2,)


def test_when_none_suffices_a_set_of_one_priority_dies_largest_first_until_it_does() -> None:
    apps = [make_app(pid, gain_kib=gain) for pid, gain in ((1, 900), (2, 2000), (3, 2100), (4, 2200))]
    run = Run([*apps, make_app(9, 500, 90_000)])
    run.feed(short())
    assert pids(run.kills[0]) == (4, 3, 2)
    assert run.kills[0].reason.startswith("priority, a set")


def test_a_set_has_its_limit() -> None:
    run = Run([make_app(pid, gain_kib=300) for pid in range(1, 30)])
    run.feed(short())
    assert len(run.kills[0].victims) == SETTINGS.set_limit


def test_a_set_may_be_turned_off() -> None:
    run = Run([make_app(1, gain_kib=300), make_app(2, gain_kib=400)], make_settings(set_limit=1))
    run.feed(short())
    assert pids(run.kills[0]) == (2,)


def test_a_death_that_returns_next_to_nothing_is_not_worth_an_application() -> None:
    run = Run([make_app(1, 900, 255), make_app(2, 100, 9000)])
    run.feed(short())
    assert pids(run.kills[0]) == (2,)


@pytest.mark.parametrize("size_kib", [500, 60_000])
def test_a_declared_foreground_dies_after_all_that_have_its_number_by_default(size_kib: int) -> None:
    run = Run([declared(1, size_kib), make_app(2, 0, 3000)])
    run.feed(short())
    assert pids(run.kills[0]) == (2,)


def test_a_declared_foreground_that_grows_dies_after_its_peers_and_in_no_set_with_them() -> None:
    run = Run([declared(5, 60_000), make_app(2, 0, 1000), make_app(3, 0, 900)])
    run.feed(*grows_out())
    assert pids(run.kills[0]) == (3, 2) or pids(run.kills[0]) == (2, 3)


def test_a_declared_foreground_dies_when_nothing_else_is_left() -> None:
    run = Run([declared(1), make_app(2, -1000, 90_000)])
    run.feed(short())
    assert pids(run.kills[0]) == (1,)


# --- when nobody dies


def test_a_growth_that_fits_when_compressed_kills_nobody() -> None:
    run = Run([*BACKGROUND, make_app(5, 100, 60_000)])
    for number in range(30):
        grown = number * 3000
        stored = max(0, grown - 40_000)
        run.feed(
            make_sample(
                1000 + number * 100,
                free_kib=max(2500, 45_000 - grown),
                file_kib=12_000,
                anon_kib=100_000 + min(grown, 40_000),
                swap_free_kib=149_913 - stored,
                store=make_store(orig_kib=stored, used_kib=stored // 3),
            )
        )
    assert run.kills == []


def test_page_cache_alone_kills_nobody() -> None:
    run = Run(BACKGROUND)
    run.feed(*(with_headroom(100.0 * at, -2000, file_kib=60_000, full_us=90_000 * at) for at in range(20)))
    assert run.kills == []


def test_a_ratio_that_is_measured_anew_is_not_taken_for_consumption() -> None:
    run = Run(BACKGROUND)
    run.feed(make_sample(1000, free_kib=30_000, file_kib=0, anon_kib=100_000))
    before = run.state.room.store_kib
    worse = make_store(orig_kib=8000, used_kib=8000)
    run.feed(make_sample(1050, free_kib=30_000, file_kib=0, anon_kib=100_000, store=worse))
    assert before - run.state.room.store_kib > 30_000
    assert run.state.forecast.rate_kib_s == 0
    assert run.kills == []


# --- why somebody dies


def test_a_store_about_to_fill_is_a_reason() -> None:
    run = Run(BACKGROUND)
    # 9000 KiB that occupy 1500 in 60 ms leave 120 ms to the limit; nothing else than the store is left.
    used = LIMIT_KIB - 3000
    scarce = {"free_kib": 2500, "file_kib": 0, "anon_kib": 150_000}
    run.feed(make_sample(1000, store=make_store(orig_kib=100_000, used_kib=used - 1500), **scarce))
    assert run.kills == []
    run.feed(make_sample(1060, store=make_store(orig_kib=109_000, used_kib=used), **scarce))
    assert dict(run.kills[0].numbers)["trigger"] == "the store is full before a kill could help"


def test_a_stall_in_scarcity_is_a_reason() -> None:
    run = Run(BACKGROUND)
    scarce = {"free_kib": 2000, "file_kib": 0, "anon_kib": 40_000}
    run.feed(make_sample(1000, **scarce), make_sample(1500, full_us=100_000, refault_anon=50, **scarce))
    assert str(dict(run.kills[0].numbers)["trigger"]).startswith("stall")


def test_one_stall_window_is_a_reason_for_one_death_only() -> None:
    run = Run(BACKGROUND)
    scarce = {"free_kib": 2000, "file_kib": 0, "anon_kib": 40_000}
    stalled = {**scarce, "full_us": 100_000, "refault_anon": 50}
    run.feed(make_sample(1000, **scarce), make_sample(1500, **stalled))
    killed = pids(run.kills[0])
    run.feed(make_sample(1510, gone=killed, **stalled), make_sample(1600, **stalled), make_sample(1900, **stalled))
    assert (len(run.kills), run.state.flight) == (1, None)


@pytest.mark.parametrize(
    "missing",
    [
        {},
        {"some_us": None, "full_us": None},
        {"refault_anon": None, "refault_file": None},
        {"store": None, "swap_total_kib": 0, "swap_free_kib": 0},
        {"grower_pid": None, "grower_resident_kib": None, "grower_swapped_kib": None},
    ],
    ids=("nothing", "PSI", "vmstat", "store and swap", "fault meter"),
)
def test_the_rescue_works_without(missing: dict[str, Any]) -> None:
    run = Run(BACKGROUND)
    run.feed(short(**missing))
    assert len(run.kills) == 1


# --- the flight


def test_no_second_decision_while_the_first_is_in_flight() -> None:
    run = Run([make_app(1), make_app(2)])
    run.feed(short(1000), short(1010), short(1200))
    assert len(run.kills) == 1
    assert run.wake.after_ms <= 10


def test_the_next_decision_may_come_with_the_landing_and_takes_another() -> None:
    run = Run([make_app(1), make_app(2)])
    run.feed(short(1000), short(1010, free_kib=2048 + LOW_KIB, gone=(2,)), short(1100))
    assert [pids(kill) for kill in run.kills] == [(2,), (1,)]
    assert [one["outcome"] for one in run.notes("receipt")] == ["dead"]


def test_a_rescue_that_sufficed_ends_there() -> None:
    run = Run([make_app(1), make_app(2)])
    run.feed(short(1000), with_headroom(1010, LOW_KIB + 8000, gone=(2,)), with_headroom(1500, LOW_KIB + 8000))
    assert len(run.kills) == 1


def test_memory_that_is_back_before_the_exit_lands_as_returned() -> None:
    run = Run([make_app(1), make_app(2)])
    run.feed(short(1000), with_headroom(1010, LOW_KIB + 8000))
    assert [one["outcome"] for one in run.notes("receipt")] == ["returned"]
    assert run.state.flight is None


def test_a_stuck_victim_is_excluded_and_the_next_one_dies() -> None:
    run = Run([make_app(1), make_app(2)])
    run.feed(*(short(1000 + at) for at in range(0, 1100, 10)))
    assert [pids(kill) for kill in run.kills] == [(2,), (1,)]
    assert [one["outcome"] for one in run.notes("receipt")] == ["stuck"]


def test_a_process_of_the_same_pid_but_later_start_is_another() -> None:
    run = Run([make_app(1)])
    run.feed(short(1000), short(1010, gone=(1,)), short(1100))
    reborn = Run([make_app(1, start_ticks=99_999)], state=run.state)
    reborn.feed(short(1200))
    assert (len(run.kills), len(reborn.kills)) == (1, 1)


def test_no_more_victims_are_remembered_than_the_bound() -> None:
    state = State(ended=tuple((pid, 1) for pid in range(ENDED_KEPT)))
    run = Run([make_app(2000)], state=state)
    run.feed(short(1000), short(1010, gone=(2000,)), short(1100))
    assert len(run.state.ended) == ENDED_KEPT
    assert run.state.ended[-1] == (2000, 3000)


def test_the_landing_of_a_grower_forgets_its_growth() -> None:
    run = Run([make_app(5, 900, 60_000), make_app(6, 900, 9000)])
    run.feed(*grows_out())
    run.feed(with_headroom(1105, LOW_KIB - 500))
    assert run.state.flight is not None and run.state.flight.returned_kib == 0, "its own growth is no return"
    run.feed(with_headroom(1110, LOW_KIB + 60_000))
    assert [one["outcome"] for one in run.notes("receipt")] == ["returned"]
    assert (run.state.watch.pid, run.state.watch.grower) == (0, None)
    assert run.state.forecast.points == ((1110, LOW_KIB + 60_000),)


def test_the_time_of_reaping_runs_from_the_kill() -> None:
    run = Run([make_app(1)])
    run.feed(short(1000))
    assert not any(isinstance(one, Reap) for one in run.feed(short(1019)))
    assert Reap(1) in run.feed(short(1020))


# --- signals


GENTLE = (make_app(1, grace_ms=300),)


def test_sigterm_comes_first_where_there_is_a_grace_and_time_for_it() -> None:
    run = Run(GENTLE)
    run.feed(short())
    assert run.kills[0].signal == "SIGTERM"


@pytest.mark.parametrize("apps", [(make_app(1),), (make_app(1, gain_kib=900, grace_ms=300), make_app(2, gain_kib=800))])
def test_without_a_grace_for_every_victim_it_is_sigkill(apps: tuple[Candidate, ...]) -> None:
    run = Run(apps)
    run.feed(short())
    assert (len(run.kills[0].victims), run.kills[0].signal) == (len(apps), "SIGKILL")


def test_the_grace_of_a_set_is_its_shortest() -> None:
    run = Run([make_app(1, gain_kib=900, grace_ms=300), make_app(2, gain_kib=800, grace_ms=50)])
    run.feed(short(1000), short(1049), short(1050))
    assert [type(one) for one in run.actions if isinstance(one, Escalate)] == [Escalate]


def test_without_time_for_the_grace_it_is_sigkill() -> None:
    run = Run(GENTLE)
    run.feed(with_headroom(1000, LOW_KIB + 5000), with_headroom(1100, LOW_KIB))
    assert run.kills[0].signal == "SIGKILL"


def test_a_sigterm_that_is_ignored_is_escalated_by_time() -> None:
    run = Run(GENTLE)
    run.feed(short(1000), short(1299))
    assert not any(isinstance(one, Escalate) for one in run.actions)
    assert any(isinstance(one, Escalate) for one in run.feed(short(1300)))


def test_a_sigterm_that_is_ignored_is_escalated_by_urgency() -> None:
    run = Run(GENTLE)
    run.feed(short(1000), with_headroom(1020, 0))
    assert any(isinstance(one, Escalate) for one in run.actions)


# --- receipts


@pytest.mark.parametrize(("returned", "bound"), [(0, GAIN_FACTOR_MIN), (90_000, GAIN_FACTOR_MAX)])
def test_receipts_correct_predictions_within_bounds(returned: int, bound: float) -> None:
    state, factors = State(), []
    for number in range(20):
        run = Run([make_app(1, start_ticks=number)], state=state)
        t_ms = 10_000.0 * (number + 1)
        run.feed(short(t_ms), with_headroom(t_ms + 10, LOW_KIB + returned, gone=(1,)))
        run.feed(with_headroom(t_ms + 100, LOW_KIB + returned), with_headroom(t_ms + 2000, 90_000))
        state = replace(run.state, flight=None, ended=())
        factors.append(state.learned.gain_factor)
    assert factors[0] != 1.0
    assert factors[-1] == pytest.approx(bound)
    assert all(GAIN_FACTOR_MIN <= factor <= GAIN_FACTOR_MAX for factor in factors)


def test_a_board_whose_deaths_return_half_takes_a_larger_victim() -> None:
    apps = [make_app(1, gain_kib=6000), make_app(2, gain_kib=12_000)]
    trusting, wary = Run(apps), Run(apps, state=State(learned=Learned(gain_factor=0.5)))
    trusting.feed(short())
    wary.feed(short())
    assert (pids(trusting.kills[0]), pids(wary.kills[0])) == ((1,), (2,))


def test_a_small_victim_teaches_nothing() -> None:
    run = Run([make_app(1, gain_kib=1000)])
    run.feed(short(1000), short(1010, gone=(1,)), short(1100))
    assert run.state.learned == Learned()


# --- tmpfs


def filling(t_ms: float, shmem_kib: int, **changes: Any) -> Sample:
    """A file in a tmpfs grows at what the headroom falls, and that is below its floor."""
    return with_headroom(t_ms, 60_000 + LOW_KIB - shmem_kib, **{"shmem_kib": shmem_kib} | changes)


def drained(run: Run, writer: int | None) -> None:
    """The file grows by 6 MB in 100 ms until the headroom is gone; the writer is found when asked for."""
    for number in range(14):
        asked = run.state.tmpfs.asked_ms >= 0
        answer = TmpfsAnswer(1000.0 + 100 * number, writer or 0) if asked else None
        run.feed(filling(1000 + 100 * number, 6000 * number, tmpfs=answer))


def test_a_drain_into_tmpfs_asks_who_holds_it_and_ends_the_writer_only() -> None:
    run = Run([*BACKGROUND, make_app(5, 500, 3000)])
    drained(run, 5)
    assert any(isinstance(one, Explain | Tend) for one in run.actions)
    assert [pids(kill) for kill in run.kills] == [(5,)]
    assert run.kills[0].reason.startswith("tmpfs")


@pytest.mark.parametrize(
    ("apps", "writer"), [(BACKGROUND, None), ((*BACKGROUND, declared(5)), 5), ((make_app(5, -1000),), 5)]
)
def test_a_drain_into_tmpfs_whose_writer_may_not_die_is_refused_and_said(
    apps: tuple[Candidate, ...], writer: int | None
) -> None:
    run = Run(apps)
    drained(run, writer)
    assert run.kills == []
    assert "tmpfs" in str(run.notes("refusal")[0]["reason"])


def test_a_writer_that_was_ended_before_is_not_ended_again() -> None:
    run = Run([*BACKGROUND, make_app(5, 500, 3000)], state=State(ended=((5, 1005),)))
    drained(run, 5)
    assert run.kills == []


# --- records and requests


def test_a_refusal_is_said_at_most_every_two_seconds() -> None:
    run = Run([make_app(1, -1000)])
    run.feed(*(short(1000 + at) for at in range(0, int(2 * REFUSE_EVERY_MS) + 1, 100)))
    assert len(run.notes("refusal")) == 3
    assert run.kills == []


def test_each_change_of_level_is_one_record() -> None:
    run = Run(BACKGROUND)
    run.feed(with_headroom(0, 200_000), short(10_000), short(10_001))
    assert [one["pressure"] for one in run.notes("pressure")] == ["critical"]


def test_the_table_is_asked_for_while_it_is_not_calm_but_not_at_every_step() -> None:
    run = Run()
    assert run.feed(with_headroom(0, 200_000)) == ()
    run.feed(*(with_headroom(60_000 + at, 60_000) for at in range(0, int(2 * REFRESH_EVERY_MS), 10)))
    assert [one for one in run.actions if isinstance(one, Refresh)] == [Refresh(False)] * 2


def test_the_table_is_asked_for_at_once_after_a_landing() -> None:
    run = Run([make_app(1)])
    assert Refresh(True) in run.feed(short(1000))
    assert Refresh(True) not in run.feed(short(1070))
    assert Refresh(True) in run.feed(short(1010, gone=(1,)), short(1090))


def test_idle_is_one_wake_in_ten_seconds() -> None:
    run = Run(BACKGROUND)
    run.feed(make_sample(0), make_sample(10_000))
    assert (run.wake.after_ms, run.actions) == (10_000, [])
