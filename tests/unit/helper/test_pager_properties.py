"""What the pager promises whatever happens: it ends, frees what it opened, and does no more than was asked for."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkd.helper.pager import GONE_KEPT
from lmkd.model import FLAG_TRIM
from lmkd.policy.trim import REST_MS
from lmkd.values import replace
from tests.unit.guard.children import child
from tests.unit.helper.pages import Bench, descriptors
from tests.unit.plans import make_candidate

ALL_KIB = 1 << 20
PIECE = 256 << 10
PID_MAX = 1 << 22
"""include/linux/threads.h: no process of this machine has such an id."""


@pytest.fixture(scope="module")
def pids() -> Iterator[tuple[int, ...]]:
    """Three processes that live as long as these tests."""
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(child()).pid for _ in range(3))


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(("trim", "cool", "turn", "remove", "refuse", "stop")), st.integers(0, 2)), max_size=30
)


@settings(max_examples=30)
@given(OPERATIONS)
def test_whatever_happens_no_descriptor_is_left_and_it_ends(pids: tuple[int, ...], what: list[tuple[str, int]]) -> None:
    before = descriptors()
    with tempfile.TemporaryDirectory() as base:
        bench = Bench(Path(base))
        rows = [bench.add(pid, 1, resident_kib=10_000) for pid in pids]
        for number, (operation, which) in enumerate(what):
            bench.kernel.now_ms += REST_MS / 2
            if operation == "trim":
                bench.trim(ALL_KIB, *rows)
            elif operation == "cool":
                bench.pager.cool(replace(rows[which], resident_kib=10_000 * (number + 1)))
            elif operation == "turn":
                bench.pager.turn()
            elif operation == "remove" and (bench.proc.root / str(pids[which])).exists():
                bench.proc.remove(pids[which])
            elif operation == "refuse":
                bench.refuse(errno.ENOMEM, which * PIECE)
            elif operation == "stop":
                bench.trim(0)
        bench.drain()
    assert descriptors() == before


@settings(max_examples=20)
@given(st.integers(1, 5000))
def test_no_more_goes_than_was_wanted_and_one_piece(pids: tuple[int, ...], wanted_kib: int) -> None:
    with tempfile.TemporaryDirectory() as base:
        bench = Bench(Path(base))
        bench.trim(wanted_kib, bench.add(pids[0], 4))
        bench.drain()
    advised_kib = sum(size for _, size in bench.pieces(pids[0])) >> 10
    assert min(wanted_kib, 4096) <= advised_kib < wanted_kib + (PIECE >> 10)


def test_what_came_and_went_is_not_remembered_for_ever(tmp_path: Path, pids: tuple[int, ...]) -> None:
    bench = Bench(tmp_path)
    lasting = bench.add(pids[0], 1, compresses=False)
    for generation in range(20):
        rows = [make_candidate(PID_MAX + 100 * generation + at, flags=FLAG_TRIM) for at in range(50)]
        bench.trim(ALL_KIB, lasting, *rows)
    assert len(bench.pager._rests) <= GONE_KEPT + 50
    assert len(bench.reports) == 1, "who is still there is remembered"
