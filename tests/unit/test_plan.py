"""The plan on its way from planner to guard: whole, or an error."""

from __future__ import annotations

import marshal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.errors import LmkdError
from lmkd.plan import FORMAT, Plan, Rule, dump_plan, load_plan
from lmkd.policy.derive import derive
from lmkd.values import as_dict, replace
from tests.unit.plans import make_plan, make_rule

PLAN = make_plan(Path("/somewhere"), rules=(make_rule("comm", "ui"),), notes=(("store_up", (("kib", 1),), "info"),))
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
        changed(unknown=7),
    ],
)
def test_what_is_no_plan_is_an_error(data: bytes) -> None:
    with pytest.raises(LmkdError, match="plan: not a whole plan"):
        load_plan(data)


def test_a_plan_of_another_format_says_what_to_do() -> None:
    with pytest.raises(LmkdError, match="restart the service"):
        load_plan(marshal.dumps((FORMAT + 1, {})))


@pytest.mark.parametrize(
    ("ram_kib", "floor_kib", "file_kib"), [(65536, 3072, 3276), (249856, 4997, 12492), (1048576, 20971, 52428)]
)
def test_floors_follow_the_memory_of_the_board(ram_kib: int, floor_kib: int, file_kib: int) -> None:
    settings = derive(ram_kib, 100, 200, 33, True, {})
    assert (settings.headroom_floor_kib, settings.file_floor_kib) == (floor_kib, file_kib)
    assert (settings.ram_kib, settings.watermark_min_kib, settings.watermark_low_kib) == (ram_kib, 100, 200)


@given(st.integers(1, 10_000), st.booleans())
def test_the_kill_horizon_follows_the_stall_budget(budget_ms: int, meter: bool) -> None:
    settings = derive(249856, 100, 200, budget_ms, meter, {})
    assert (settings.stall_budget_ms, settings.kill_horizon_ms) == (budget_ms, 3 * budget_ms)
    assert settings.fault_meter is meter


@given(st.dictionaries(st.sampled_from(sorted(as_dict(PLAN.settings))), st.integers(1, 1000)))
def test_what_is_set_by_hand_wins(overrides: dict[str, int]) -> None:
    plain = as_dict(derive(249856, 100, 200, 33, True, {}))
    assert as_dict(derive(249856, 100, 200, 33, True, overrides)) == {**plain, **overrides}
