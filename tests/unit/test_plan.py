"""The plan on its way from planner to guard: whole, or an error."""

from __future__ import annotations

import marshal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.errors import LmkdError
from lmkd.plan import FORMAT, Notice, Plan, Rule, TmpfsRule, Ways, dump_plan, load_plan
from lmkd.values import replace
from tests.unit.plans import make_plan, make_rule

PLAN = make_plan(
    Path("/somewhere"),
    rules=(make_rule("comm", "ui"),),
    notes=(("store_up", (("kib", 1),), "info"),),
    tmpfs=(TmpfsRule("/tmp", 1024, ("*.log",), "/bin/tell", "lmkd.yaml:3"),),
    ways=Ways((Notice(0, "", 2, 10, ("/bin/x", "a"), 2000),), (("cached", "/bin/y"),), 500, "/run/level"),
)
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
RULES = st.builds(
    Rule,
    name=TEXT,
    matchers=st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=3).map(tuple),
    priority=st.integers(-1000, 1000),
    class_name=TEXT,
    protect=st.booleans(),
    on_kill=TEXT,
    grace_ms=st.integers(-1, 60_000),
    group=TEXT,
    where=TEXT,
)


@given(st.lists(RULES, max_size=5).map(tuple), TEXT, st.booleans(), st.floats(allow_nan=False))
def test_a_plan_arrives_as_it_was_sent(rules: tuple[Rule, ...], path: str, flag: bool, t_ms: float) -> None:
    plan = replace(PLAN, rules=rules, socket=path, dry_run=flag, started_ms=t_ms, config_paths=(path,))
    arrived = load_plan(dump_plan(plan))
    assert arrived == plan
    assert isinstance(arrived, Plan)


def test_no_part_of_a_plan_is_taken_for_a_whole_one() -> None:
    data = dump_plan(PLAN)
    for length in range(len(data)):
        with pytest.raises(LmkdError, match="not a whole plan"):
            load_plan(data[:length])


def changed(**fields: object) -> bytes:
    return marshal.dumps((FORMAT, {**marshal.loads(dump_plan(PLAN))[1], **fields}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no plan",
        marshal.dumps(7),
        marshal.dumps((FORMAT,)),
        marshal.dumps((FORMAT, None)),
        marshal.dumps((FORMAT, {})),
        changed(settings=7),
        changed(settings={}),
        changed(rules=({"name": "a"},)),
        changed(rules=7),
        changed(ways=7),
        changed(ways={}),
        changed(ways={"notices": ({"rule": 1},)}),
        changed(unknown=7),
    ],
)
def test_what_is_no_plan_is_an_error(data: bytes) -> None:
    with pytest.raises(LmkdError, match="plan: not a whole plan"):
        load_plan(data)


def test_a_plan_of_another_format_says_what_to_do() -> None:
    with pytest.raises(LmkdError, match="restart the service"):
        load_plan(marshal.dumps((FORMAT + 1, {})))
