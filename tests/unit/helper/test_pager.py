"""The pager: pieces and pace, who is left alone, what grows, and what is gone."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.helper.pager import COLD_PIECE_BYTES, COOL_MIN_KIB, COOL_SHARE, DUTY
from lmkd.kernel.madvise import COLD, PAGEOUT
from lmkd.policy.trim import REST_MAX_MS, REST_MS
from lmkd.values import replace
from tests.unit.guard.children import child
from tests.unit.helper.pages import MIB, PIECE_MS, Bench, descriptors

ALL_KIB = 1 << 20
PIECE = 256 << 10


@pytest.fixture(scope="module")
def pids() -> Iterator[tuple[int, ...]]:
    """Three processes that live as long as these tests."""
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(child()).pid for _ in range(3))


@pytest.fixture
def dead_pid() -> int:
    """A process id that was used and is not any more."""
    with child() as process:
        pass
    return process.pid


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    before = descriptors()
    yield made
    made.drain()
    assert descriptors() == before, "a descriptor was left open"


# --- pieces and pace


def test_an_idle_application_is_paged_out_piece_by_piece(bench: Bench, pids: tuple[int, ...]) -> None:
    bench.trim(ALL_KIB, bench.add(pids[0], 1))
    assert bench.kernel.advised == [], "nothing is done before its turn"
    bench.drain()
    assert bench.kernel.advised == [(pids[0], at, PIECE, PAGEOUT) for at in range(0, MIB, PIECE)]


def test_each_range_is_advised_about_once_and_no_further_than_its_end(bench: Bench, pids: tuple[int, ...]) -> None:
    row = bench.add(pids[0], 1)
    bench.map(pids[0], (16 * MIB, PIECE), (0, PIECE + 4096))
    bench.trim(ALL_KIB, row)
    bench.drain()
    assert bench.pieces(pids[0]) == [(0, PIECE), (PIECE, 4096), (16 * MIB, PIECE)]


def test_after_each_piece_it_rests_for_a_multiple_of_what_that_took(bench: Bench, pids: tuple[int, ...]) -> None:
    assert bench.pager.timeout_ms() is None
    bench.trim(ALL_KIB, bench.add(pids[0], 1))
    assert (bench.pager.busy, bench.pager.timeout_ms()) == (True, 0)
    bench.pager.turn()
    assert bench.pager.timeout_ms() == PIECE_MS * DUTY[PAGEOUT]
    bench.pager.turn()
    assert len(bench.kernel.advised) == 1, "it is not time yet"
    bench.kernel.now_ms += PIECE_MS * DUTY[PAGEOUT]
    bench.pager.turn()
    assert len(bench.kernel.advised) == 2


def test_it_ends_when_what_was_wanted_has_gone(bench: Bench, pids: tuple[int, ...]) -> None:
    bench.trim(2 * PIECE >> 10, bench.add(pids[0], 1))
    bench.drain()
    assert len(bench.kernel.advised) == 2
    assert [(fields["advised_kib"], level) for _, fields, level in bench.reports] == [(2 * PIECE >> 10, "info")]


def test_closed_it_leaves_the_work_at_hand_and_holds_nobody(bench: Bench, pids: tuple[int, ...]) -> None:
    before = descriptors()
    bench.trim(ALL_KIB, bench.add(pids[0], 1))
    bench.pager.turn()
    bench.pager.close()
    assert (bench.pager.busy, len(bench.kernel.advised), descriptors()) == (False, 1, before)


def test_it_ends_at_once_when_no_more_is_wanted(bench: Bench, pids: tuple[int, ...]) -> None:
    row = bench.add(pids[0], 1)
    bench.trim(ALL_KIB, row)
    bench.pager.turn()
    bench.trim(0, row)
    bench.drain()
    assert len(bench.kernel.advised) == 1
    bench.trim(ALL_KIB, row)
    assert not bench.pager.busy, "what was trimmed in part rests as well"


def test_nothing_wanted_begins_nothing(bench: Bench, pids: tuple[int, ...]) -> None:
    bench.trim(0, bench.add(pids[0], 1))
    assert not bench.pager.busy


def test_one_is_trimmed_at_a_time_the_least_important_first(bench: Bench, pids: tuple[int, ...]) -> None:
    rows = bench.add(pids[0], priority=700), bench.add(pids[1], priority=900)
    bench.trim(ALL_KIB, *rows)
    bench.pager.turn()
    bench.trim(ALL_KIB, *rows)
    bench.drain()
    assert {pid for pid, *_ in bench.kernel.advised} == {pids[1]}
    bench.trim(ALL_KIB, *rows)
    bench.drain()
    assert {pid for pid, *_ in bench.kernel.advised} == {pids[0], pids[1]}


def test_the_record_says_what_went_and_what_is_left(bench: Bench, pids: tuple[int, ...]) -> None:
    row = bench.add(pids[0], 1)
    bench.kernel.after = lambda: bench.proc.add(pids[0], anon_kib=100, swapped_kib=900)
    bench.trim(ALL_KIB, row)
    bench.drain()
    [(event, fields, level)] = bench.reports
    assert (event, level, fields.pop("ms") > 0) == ("trim", "info", True)
    assert fields == {
        "pid": pids[0], "name": row.name, "priority": 900, "advised_kib": 1024, "how": "process_madvise",
        "stored_kib": 900, "left_kib": 100, "ratio": 4.0,
    }  # fmt: skip


# --- who is left alone


def test_what_does_not_compress_is_left_alone_said_once_and_the_next_is_taken(
    bench: Bench, pids: tuple[int, ...]
) -> None:
    rows = bench.add(pids[0], 1, compresses=False, priority=950), bench.add(pids[1], 1)
    for _ in range(3):
        bench.trim(ALL_KIB, *rows)
        bench.drain()
        bench.kernel.now_ms += 2 * REST_MS
    assert bench.pieces(pids[0]) == []
    assert len(bench.pieces(pids[1])) == 3 * MIB // PIECE
    skipped = [fields for _, fields, _ in bench.reports if "skipped" in fields]
    assert skipped == [{"pid": pids[0], "name": rows[0].name, "skipped": "does not compress", "ratio": 1.0}]


def test_what_did_not_compress_is_looked_at_again_after_a_long_time(bench: Bench, pids: tuple[int, ...]) -> None:
    bench.trim(ALL_KIB, bench.add(pids[0], 1, compresses=False))
    bench.kernel.now_ms += REST_MAX_MS
    bench.trim(ALL_KIB, bench.add(pids[0], 1))
    bench.drain()
    assert bench.pieces(pids[0])


def test_one_that_was_trimmed_rests_and_one_that_woke_rests_twice_as_long(
    bench: Bench, pids: tuple[int, ...]
) -> None:
    row = bench.add(pids[0], 1)
    bench.kernel.after = lambda: bench.proc.add(pids[0], anon_kib=100, swapped_kib=900)

    def begins_after(ms: float) -> bool:
        bench.kernel.now_ms += ms
        bench.trim(ALL_KIB, row)
        begun = bench.pager.busy
        bench.drain()
        return begun

    assert begins_after(0)
    assert not begins_after(REST_MS - 1) and begins_after(1), "it has taken its pages back"
    assert not begins_after(2 * REST_MS - 1) and begins_after(1)


def test_another_process_of_a_pid_that_rests_does_not(bench: Bench, pids: tuple[int, ...]) -> None:
    bench.trim(ALL_KIB, bench.add(pids[0], 1))
    bench.drain()
    bench.trim(ALL_KIB, bench.add(pids[0], 1, start=2000))
    assert bench.pager.busy


# --- what grows


def test_what_has_grown_enough_is_marked_cold_without_resting(bench: Bench, pids: tuple[int, ...]) -> None:
    least = COOL_MIN_KIB >> 10
    bench.pager.cool(bench.add(pids[0], least - 1))
    assert not bench.pager.busy
    bench.pager.cool(bench.add(pids[0], least))
    bench.pager.turn()
    assert bench.pager.timeout_ms() == PIECE_MS * DUTY[COLD] == 0
    bench.drain()
    assert sum(size for _, size in bench.pieces(pids[0])) == least * MIB
    assert {advice for *_, advice in bench.kernel.advised} == {COLD}
    assert [(event, level) for event, _, level in bench.reports] == [("cool", "debug")]


def test_it_is_marked_again_only_after_it_has_grown_by_its_share(bench: Bench, pids: tuple[int, ...]) -> None:
    row = bench.add(pids[0], 1, resident_kib=100_000)
    bench.pager.cool(row)
    bench.drain()
    enough = int(100_000 / (1 - COOL_SHARE)) + 1
    bench.pager.cool(replace(row, resident_kib=enough - 2))
    assert not bench.pager.busy
    bench.pager.cool(replace(row, resident_kib=enough))
    assert bench.pager.busy


def test_it_is_not_marked_twice_while_that_is_waiting(bench: Bench, pids: tuple[int, ...]) -> None:
    row = bench.add(pids[0], 1, resident_kib=10_000)
    bench.pager.cool(row)
    bench.pager.cool(replace(row, resident_kib=90_000))
    bench.drain()
    assert sum(size for _, size in bench.pieces(pids[0])) == MIB


def test_what_is_being_trimmed_is_not_marked(bench: Bench, pids: tuple[int, ...]) -> None:
    row = bench.add(pids[0], 1, resident_kib=10_000)
    bench.trim(ALL_KIB, row)
    bench.pager.cool(row)
    bench.drain()
    assert {advice for *_, advice in bench.kernel.advised} == {PAGEOUT}


def test_what_grows_comes_before_what_is_idle(bench: Bench, pids: tuple[int, ...]) -> None:
    bench.trim(ALL_KIB, bench.add(pids[0], 1))
    bench.pager.turn()
    bench.pager.cool(bench.add(pids[1], 1, resident_kib=10_000))
    bench.drain()
    order = [advice for *_, advice in bench.kernel.advised]
    cold = MIB // COLD_PIECE_BYTES
    assert order == [PAGEOUT, *[COLD] * cold, *[PAGEOUT] * (MIB // PIECE - 1)]


def test_another_process_of_the_pid_is_marked_by_its_own_size(bench: Bench, pids: tuple[int, ...]) -> None:
    bench.pager.cool(bench.add(pids[0], 1, resident_kib=90_000))
    bench.drain()
    bench.pager.cool(bench.add(pids[0], 1, start=2000, resident_kib=10_000))
    assert bench.pager.busy


# --- what is gone


def test_who_is_gone_is_passed_over(bench: Bench, pids: tuple[int, ...], dead_pid: int) -> None:
    rows = bench.add(dead_pid, 1, priority=950), bench.add(pids[0], 1)
    bench.trim(ALL_KIB, *rows)
    bench.pager.cool(replace(rows[0], resident_kib=90_000))
    bench.drain()
    assert [fields["pid"] for _, fields, _ in bench.reports] == [pids[0]]


def test_who_has_the_pid_of_another_now_is_not_touched(bench: Bench, pids: tuple[int, ...]) -> None:
    row = replace(bench.add(pids[0], 1), start_ticks=999, resident_kib=90_000)
    bench.trim(ALL_KIB, row)
    bench.pager.cool(row)
    assert not bench.pager.busy


@pytest.mark.parametrize("missing", ["maps", "stat", "mem", "pagemap"])
def test_who_cannot_be_looked_into_is_not_touched_nor_said_not_to_compress(
    bench: Bench, pids: tuple[int, ...], missing: str
) -> None:
    row = bench.add(pids[0], 1)
    (bench.proc.root / str(pids[0]) / missing).unlink()
    bench.trim(ALL_KIB, row)
    assert (bench.pager.busy, bench.reports) == (False, [])
    bench.kernel.now_ms += REST_MS
    bench.trim(ALL_KIB, bench.add(pids[0], 1))
    assert bench.pager.busy, "it rested no longer than others"


def test_who_dies_meanwhile_leaves_no_record(bench: Bench, pids: tuple[int, ...]) -> None:
    bench.trim(ALL_KIB, bench.add(pids[0], 1))
    bench.pager.turn()
    bench.proc.remove(pids[0])
    bench.refuse(errno.ESRCH)
    bench.drain()
    assert (len(bench.kernel.advised), bench.reports) == (1, [])


def test_a_range_that_went_away_is_passed_over(bench: Bench, pids: tuple[int, ...]) -> None:
    row = bench.add(pids[0], 1)
    bench.map(pids[0], (0, 3 * PIECE), (16 * MIB, PIECE))
    bench.refuse(errno.ENOMEM, start=PIECE)
    bench.trim(ALL_KIB, row)
    bench.drain()
    assert bench.pieces(pids[0]) == [(0, PIECE), (16 * MIB, PIECE)]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EINVAL])
def test_a_kernel_that_refuses_all_ends_the_work(bench: Bench, pids: tuple[int, ...], number: int) -> None:
    bench.refuse(number)
    bench.trim(ALL_KIB, bench.add(pids[0], 1))
    bench.pager.cool(bench.add(pids[1], 1, resident_kib=10_000))
    bench.drain(turns=10)
    assert bench.kernel.advised == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
def test_a_kernel_that_never_will_is_said_once_and_not_asked_again(
    bench: Bench, pids: tuple[int, ...], number: int
) -> None:
    bench.refuse(number)
    for pid in pids[:2]:
        bench.trim(ALL_KIB, bench.add(pid, 1))
        bench.drain(turns=10)
    assert [(event, fields["feature"]) for event, fields, _level in bench.reports] == [("degraded", "process_madvise")]
