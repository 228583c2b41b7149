"""docs/events.md is what the records' definition says, and the definition is what the code writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lmkd.cli.watch_words import words
from lmkd.control.records import ENVELOPE, RecordKind
from lmkd.control.records_page import events_page
from lmkd.control.records_work import RECORDS
from lmkd.guard.act import RealPort
from lmkd.guard.notes import kill_note
from lmkd.helper.rejects import COUNTERS, WRITES
from lmkd.helper.stopped import Stopped
from lmkd.kernel.process import read_stat
from lmkd.model import Kill, Note
from lmkd.policy.headroom import StoreRatio
from lmkd.policy.upkeep import Upkeep, keep_up
from tests.record_checks import odd_fields
from tests.unit.guard.children import child
from tests.unit.plans import make_plan
from tests.unit.policy.builders import LIMIT_KIB, make_sample, make_settings, make_store
from tests.unit.policy.simulated import AppSpec, BoardSpec, run
from tests.unit.record_sources import Writing, writings
from tests.unit.source_tree import ROOT

KINDS = {kind.name: kind for kind in RECORDS}
LOGGED_ONLY = {"planned"}
"""A line of the planner's in the log, no record: the page tells of it in words."""
# Fields that are put together elsewhere than in the call that writes the record; seen below by having them made.
MADE_ELSEWHERE = {"kill", "pressure", "receipt", "store_limit", "store_rejects", "freeze"}
BOARDS = (
    BoardSpec((AppSpec(120_000, 900), AppSpec(20_000, 500, 30_000, ratio=1.3)), limit_pct=0),
    BoardSpec((AppSpec(40_000, 900), AppSpec(40_000, 900), AppSpec(30_000, 700, 30_000))),
    BoardSpec((AppSpec(60_000, 900), AppSpec(9000, 700)), limit_pct=0, tmpfs_kib_s=60_000, tmpfs_writer=101),
)


def made(base: Path) -> list[Note]:
    """What the policy records on simulated boards, with the records that the guard makes of its kills."""
    notes: list[Note] = []
    for spec in BOARDS:
        for action in (each for turn in run(spec)[0] for each in turn.actions):
            if isinstance(action, Note):
                notes.append(action)
            elif isinstance(action, Kill):
                notes += [kill_note(action, victim, make_plan(base), 900.0) for victim in action.victims]
    return notes


def names(kind: RecordKind) -> set[str]:
    return {field.name for field in kind.fields}


def always(kind: RecordKind) -> set[str]:
    return {field.name for field in kind.fields if not field.when}


def test_the_page_in_docs_is_made_from_the_definition() -> None:
    assert (ROOT / "docs" / "events.md").read_text(encoding="utf-8") == events_page(), "run `make docs`"


def test_every_record_and_field_is_on_the_page() -> None:
    page = events_page()
    assert all(f"### `{kind.name}`" in page for kind in RECORDS)
    assert all(f"| `{field.name}` |" in page for kind in RECORDS for field in kind.fields)


def test_no_two_have_a_name_and_no_field_hides_one_of_the_envelope() -> None:
    assert len(KINDS) == len(RECORDS)
    for kind in RECORDS:
        every = [field.name for field in (*ENVELOPE, *kind.fields)]
        assert len(set(every)) == len(every), kind.name


def test_the_definition_has_every_record_that_the_source_writes_and_no_other() -> None:
    written = {one.event for one in writings()}
    assert written - LOGGED_ONLY == set(KINDS) - {"freeze"}


@pytest.mark.parametrize("one", writings(), ids=lambda one: f"{one.place} {one.event}")
def test_the_fields_of_the_source_are_those_of_the_definition(one: Writing) -> None:
    if one.event in LOGGED_ONLY:
        return
    kind = KINDS[one.event]
    assert one.certain <= names(kind)
    if one.event not in MADE_ELSEWHERE:
        assert not one.open
        assert always(kind) - one.possible <= one.certain


def test_every_field_of_the_definition_is_written_somewhere() -> None:
    found = writings()
    for kind in RECORDS:
        if kind.name not in MADE_ELSEWHERE:
            written = set[str]().union(*(one.certain | one.possible for one in found if one.event == kind.name))
            assert names(kind) <= written, kind.name


def test_the_policys_records_have_the_fields_of_the_definition(tmp_path: Path) -> None:
    notes = made(tmp_path)
    assert {"pressure", "kill", "receipt"} <= {note.event for note in notes}
    for note in notes:
        assert odd_fields({"event": note.event, **dict(note.fields)}) == [], note
    for event in ("pressure", "kill", "receipt"):
        seen = set[str]().union(*(dict(note.fields) for note in notes if note.event == event))
        assert names(KINDS[event]) - {"victims"} <= seen, event


def test_the_record_of_a_limit_has_the_fields_of_the_definition() -> None:
    sample = make_sample(1000.0, store=make_store(
        orig_kib=200_000, compressed_kib=70_000, used_kib=70_000, own_used_kib=LIMIT_KIB - 100, own_limit_kib=LIMIT_KIB
    ))  # fmt: skip
    settings = make_settings(store_limit_max_kib=2 * LIMIT_KIB)
    _, actions = keep_up(Upkeep(), sample, settings, StoreRatio(3.0), None, "low", landed=False)
    (limit,) = (action for action in actions if hasattr(action, "numbers"))
    assert odd_fields({"event": "store_limit", **dict(limit.numbers), "refused": ""}) == []


def test_the_counters_of_zswap_are_those_of_the_definition() -> None:
    assert names(KINDS["store_rejects"]) == {*COUNTERS, WRITES}


def test_the_record_of_a_freeze_has_the_fields_of_the_definition(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    stopped = Stopped("/proc", str(tmp_path / "run"), RealPort("/proc"), lambda event, fields, _: found.append(
        {"event": event, **dict(fields)}
    ))  # fmt: skip
    with child() as process:
        stat = read_stat("/proc", process.pid)
        assert stat is not None
        for start in (stat.start_ticks, stat.start_ticks + 1):
            stopped.stop("freeze", process.pid, start, "app", 60_000, {process.pid}, reason="it thrashes")
        stopped.release_all("the test is over")
    assert [record["event"] for record in found] == ["freeze", "freeze", "release"]
    assert [odd_fields(record) for record in found] == [[], [], []]


@pytest.mark.parametrize(
    ("record", "odd"),
    [
        ({"event": "nothing"}, ["nothing: not defined"]),
        ({"event": "stop", "store": "keep", "more": 1}, ["stop.more: not defined"]),
        ({"event": "stop"}, ["stop.store: missing"]),
        ({"event": "stop", "store": 1}, ["stop.store: 1 is no text"]),
        ({"event": "stop", "store": None}, ["stop.store: None is no text"]),
        ({"event": "trim", "pid": 1, "name": "x", "ratio": None}, []),
        ({"event": "stop", "truncated": True}, []),
    ],
)
def test_what_differs_from_the_definition_is_found(record: dict[str, Any], odd: list[str]) -> None:
    assert odd_fields(record) == odd


def test_the_live_view_has_words_for_defined_records_alone() -> None:
    from lmkd.cli import watch_words

    assert set(watch_words._WORDS) <= set(KINDS)
    assert words({"event": "stop", "store": "keep"})[0] == "lmkd stops"
