"""The list of the reniced, on real children of the test: written first, trusted only as far as it makes sense."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkd.kernel.nice import NICE_HIGHEST, NICE_LOWEST
from tests.unit.guard.children import child, needs_nice
from tests.unit.helper.test_reniced import BREEDER, Bench, nice, start_of, threads
from tests.unit.plans import FakeProc


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "run")
    yield made
    made.reniced.release_all("the test is over")


@needs_nice
def test_the_list_is_there_before_anybody_is_lowered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = os.setpriority

    def setpriority(which: int, thread: int, value: int) -> None:
        seen.append((value, bench.list.exists()))
        real(which, thread, value)

    monkeypatch.setattr(os, "setpriority", setpriority)
    with child() as process:
        own = nice(process.pid)
        bench.lower(process.pid)
        bench.reniced.release(process.pid, "enough")
        assert seen == [(NICE_LOWEST, True), (own, True)]


@needs_nice
def test_the_next_helper_gives_back_by_the_list(bench: Bench) -> None:
    with child(BREEDER) as one, child() as other:
        nice(one.pid, -3)
        bench.lower(one.pid)
        bench.lower(other.pid)
        assert len(bench.list.read_text().splitlines()) == 2
        following = Bench(bench.list.parent)
        following.reniced.restore_left()
        assert [nice(thread) for thread in threads(one.pid)] == [-3] * 3
        assert nice(other.pid) == nice(os.getpid())
        assert (bench.list.exists(), following.reniced.timeout_ms()) == (False, None)
        assert [(event, fields["pid"], level) for event, fields, level in following.reports] == [
            ("renice", one.pid, "info"), ("renice", other.pid, "info"),
        ]  # fmt: skip
        assert following.last()["reason"] == "a helper that died had reniced it"


@needs_nice
def test_a_torn_or_odd_list_is_reported_and_the_rest_of_it_given_back(bench: Bench) -> None:
    with child() as process:
        bench.lower(process.pid)
        with bench.list.open("ab") as file:
            file.write(b"\xff\n12 x 0\n1 1 0\n99 1 19\n99 1 -21\n99 1 0 0\n99 1\n99 1 --5\n99 %d 0\n\n" % 10**20)
            file.write(b"77 1 0")
        following = Bench(bench.list.parent)
        following.reniced.restore_left()
        assert nice(process.pid) == nice(os.getpid())
        assert [(event, level) for event, _, level in following.reports] == [
            ("renice", "info"), ("degraded", "warning"),
        ]  # fmt: skip
        assert ": 11 lines are not understood" in following.last()["cost"]
        assert not bench.list.exists()


@needs_nice
def test_a_list_that_names_another_start_time_changes_nobody(bench: Bench) -> None:
    bench.list.parent.mkdir()
    with child() as process:
        nice(process.pid, NICE_LOWEST)
        bench.list.write_text(f"{process.pid} {start_of(process.pid) + 1} 0\n")
        bench.reniced.restore_left()
        assert (nice(process.pid), bench.list.exists()) == (NICE_LOWEST, False)


def test_without_a_list_there_is_nothing_to_give_back(bench: Bench) -> None:
    bench.reniced.restore_left()
    assert (bench.reports, bench.list.parent.exists()) == ([], False)


LINES = st.tuples(st.integers(-3, 9), st.integers(-3, 9), st.integers(-25, 25)).map(lambda three: b"%d %d %d\n" % three)


@given(st.lists(st.one_of(LINES, st.binary(max_size=20)), max_size=12))
@settings(max_examples=50)
def test_no_list_however_odd_is_trusted(pieces: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        FakeProc(Path(folder))
        bench = Bench(Path(folder) / "run", f"{folder}/proc")
        bench.list.parent.mkdir()
        bench.list.write_bytes(data := b"".join(pieces))
        bench.reniced.restore_left()
        named = [fields for event, fields, _ in bench.reports if event == "renice"]
        assert all(fields["pid"] > 1 and NICE_HIGHEST <= fields["nice"] < NICE_LOWEST for fields in named)
        assert len(named) <= data.count(b"\n")
        assert (bench.list.exists(), bench.reniced.timeout_ms()) == (False, None)
