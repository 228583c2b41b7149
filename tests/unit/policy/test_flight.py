"""The kill in flight: how it lands, when it is escalated and reaped, and what its receipt says."""

from __future__ import annotations

from typing import Any

import pytest

from lmkd.model import Escalate, Reap, Sample
from lmkd.policy import flight as flights
from lmkd.policy.flight import Flight, Landing, advance, receipt
from lmkd.values import replace
from tests.unit.policy.builders import make_app, storeless, victim_of

A, B = victim_of(make_app(1, gain_kib=10_000)), victim_of(make_app(2, gain_kib=10_000))
BEFORE_KIB = 5000


def killed(*victims: Any, **changes: Any) -> Flight:
    """SIGKILL went out at 1000 ms."""
    who = victims or (A,)
    predicted = sum(victim.predicted_kib for victim in who)
    made = Flight(who, "SIGKILL", 1000.0, 1000.0 + flights.STUCK_AFTER_MS, predicted, BEFORE_KIB, 1000.0)
    return replace(made, **changes)


def asked(**changes: Any) -> Flight:
    """SIGTERM went out at 1000 ms, with a grace of 200."""
    return killed(**{"signal": "SIGTERM", "deadline_ms": 1200.0} | changes)


def back(t_ms: float, returned_kib: int, *gone: int) -> Sample:
    """So much is back, and these have died."""
    return storeless(t_ms, free_kib=BEFORE_KIB + returned_kib, gone=gone)


def outcome(landing: Landing | None) -> str:
    """How it ended, empty when it has not."""
    return "" if landing is None else landing.outcome


def landed(flight: Flight, sample: Sample, rate: float = 0.0, urgent: bool = False) -> str:
    """How this sample ends the flight."""
    return outcome(advance(flight, sample, rate, urgent)[1])


def test_a_death_with_its_memory_lands() -> None:
    _flight, landing, actions = advance(killed(), back(1010, 9000, A.pid), 0.0, False)
    assert landing == Landing("dead", 10.0, 9000, 10_000, 10.0)
    assert actions == ()


def test_a_death_whose_memory_is_not_back_is_waited_for_but_not_for_long() -> None:
    dead, landing, _actions = advance(killed(), back(1010, 0, A.pid), 0.0, False)
    assert landing is None
    settle_ms = flights.SETTLE_MS + flights.SETTLE_MS_PER_MIB * 10_000 / 1024
    assert landed(dead, back(1010 + settle_ms - 1, 4999)) == ""
    assert landed(dead, back(1030, 5000)) == "dead"
    assert landed(dead, back(1010 + settle_ms, 0)) == "dead"


def test_a_death_is_not_waited_for_when_it_is_urgent() -> None:
    assert landed(killed(), back(1010, 0, A.pid), urgent=True) == "dead"


def test_a_set_lands_with_its_last_death() -> None:
    first, landing, _actions = advance(killed(A, B), back(1005, 12_000, A.pid), 0.0, False)
    assert landing is None
    assert landed(first, back(1010, 12_000, B.pid)) == "dead"


def test_the_death_of_another_lands_nothing() -> None:
    assert landed(killed(), back(1005, 0, 99)) == ""


@pytest.mark.parametrize(("returned", "ends"), [(9000, "returned"), (8999, "")])
def test_memory_that_is_back_before_the_exit_lands(returned: int, ends: str) -> None:
    assert landed(killed(), back(1005, returned)) == ends


def test_nothing_returns_from_a_victim_that_was_predicted_to_return_nothing() -> None:
    assert landed(killed(predicted_kib=0), back(1005, 0)) == ""


def test_memory_that_comes_back_after_sigterm_does_not_end_the_flight() -> None:
    assert landed(asked(), back(1005, 10_000)) == ""


def test_what_others_consumed_meanwhile_counts_as_returned() -> None:
    flight, _landing, _actions = advance(killed(), back(1010, 1000), 100_000.0, False)
    assert flight.returned_kib == 2000


def test_a_late_burst_of_others_does_not_count_for_the_time_before_it() -> None:
    flight, _landing, _actions = advance(killed(), back(1900, 0), 0.0, False)
    assert advance(flight, back(1910, 0), 100_000.0, False)[0].returned_kib == 1000


def test_the_most_that_was_back_is_remembered() -> None:
    flight, _landing, _actions = advance(killed(), back(1005, 4000), 0.0, False)
    assert advance(flight, back(1010, 100), 0.0, False)[0].returned_kib == 4000


def test_sigterm_is_given_its_grace() -> None:
    flight, landing, actions = advance(asked(), back(1199, 0), 0.0, False)
    assert (flight.signal, landing, actions) == ("SIGTERM", None, ())


@pytest.mark.parametrize(("t_ms", "urgent", "word"), [(1200, False, "ignored"), (1005, True, "no time")])
def test_sigterm_is_escalated_by_time_and_by_urgency(t_ms: float, urgent: bool, word: str) -> None:
    flight, landing, actions = advance(asked(), back(t_ms, 0), 0.0, urgent)
    assert landing is None
    assert [type(one) for one in actions] == [Escalate]
    escalate = actions[0]
    assert isinstance(escalate, Escalate) and escalate.victims == (A,) and word in escalate.reason
    assert (flight.signal, flight.killed_ms, flight.deadline_ms) == ("SIGKILL", t_ms, t_ms + flights.STUCK_AFTER_MS)


def test_only_those_of_a_set_that_live_are_escalated() -> None:
    both = killed(A, B, signal="SIGTERM", deadline_ms=1200.0)
    _flight, _landing, actions = advance(both, back(1200, 0, A.pid), 0.0, False)
    assert actions == (Escalate((B,), "ignored SIGTERM for its whole grace"),)


def test_the_helper_reaps_a_victim_once_that_does_not_free_its_memory_in_time() -> None:
    assert advance(killed(), back(1000 + flights.REAP_AFTER_MS - 1, 0), 0.0, False)[2] == ()
    flight, _landing, actions = advance(killed(), back(1000 + flights.REAP_AFTER_MS, 0), 0.0, False)
    assert actions == (Reap(A.pid),)
    assert advance(flight, back(1000 + flights.REAP_AFTER_MS + 5, 0), 0.0, False)[2] == ()


def test_the_guard_reaps_once_where_the_helper_gets_nowhere() -> None:
    late = back(1000 + flights.REAP_HERE_MS, 0)
    flight, _landing, actions = advance(killed(reaped=True), late, 0.0, False)
    assert actions == (Reap(A.pid, here=True),)
    assert advance(flight, late, 0.0, False)[2] == ()


@pytest.mark.parametrize(("after", "returned"), [(flights.REAP_HERE_MS - 1, 0), (flights.REAP_HERE_MS, 1000)])
def test_the_guard_does_not_reap_early_nor_what_is_on_its_way(after: float, returned: int) -> None:
    assert advance(killed(reaped=True), back(1000 + after, returned), 0.0, False)[2] == ()


def test_after_an_escalation_the_reaping_waits_from_the_sigkill() -> None:
    escalated = advance(asked(), back(1200, 0), 0.0, False)[0]
    assert advance(escalated, back(1200 + flights.REAP_AFTER_MS - 1, 0), 0.0, False)[2] == ()


def test_a_victim_that_neither_dies_nor_returns_is_stuck_after_its_time() -> None:
    assert landed(killed(reaped=True, reaped_here=True), back(1999, 0)) == ""
    assert landed(killed(reaped=True, reaped_here=True), back(2000, 1023)) == "stuck"


def test_a_victim_that_keeps_giving_back_is_not_stuck_until_it_stops() -> None:
    slow, landing, _actions = advance(killed(reaped=True, reaped_here=True), back(2000, 1024), 0.0, False)
    assert landing is None
    assert slow.deadline_ms == 2000 + flights.PROGRESS_MS
    assert landed(slow, back(slow.deadline_ms, 1024 + flights.PROGRESS_KIB - 1)) == "stuck"
    assert landed(slow, back(slow.deadline_ms, 1024 + flights.PROGRESS_KIB)) == ""


def test_a_landing_never_returned_less_than_nothing() -> None:
    _flight, landing, _actions = advance(killed(), storeless(1010, free_kib=0, gone=(A.pid,)), 0.0, True)
    assert landing is not None and landing.returned_kib == 0


def test_the_receipt_compares_what_was_predicted_with_what_came_back() -> None:
    note = receipt(killed(), Landing("dead", 12.34, 9000, 10_000, 9.876))
    assert (note.event, note.level) == ("receipt", "info")
    assert dict(note.fields) == {
        "pid": 1,
        "name": "app1",
        "predicted_kib": 10_000,
        "returned_kib": 9000,
        "ms": 12.3,
        "half_ms": 9.9,
        "outcome": "dead",
    }


def test_the_receipt_of_a_set_tells_how_many_and_that_of_a_stuck_one_warns() -> None:
    note = receipt(killed(A, B), Landing("stuck", 1000.0, 0, 20_000, 1000.0))
    assert (dict(note.fields)["victims"], note.level) == (2, "warning")
