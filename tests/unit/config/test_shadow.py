"""Rules that an earlier rule hides are errors; rules that can still match something are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.config import load, parse_text, rule_table
from lmkd.errors import ConfigError
from lmkd.matching import match_rule


def rules(*matches: str) -> str:
    return "apps:\n" + "".join(f"- {{match: {match}, priority: 1}}\n" for match in matches)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("{comm: a}", "{comm: a}"),
        ("{comm: a, user: u}", "{user: u, comm: a}"),
        ("{comm: a}", "{comm: a, user: u}"),
        ("{comm: 'a*'}", "{comm: abc}"),
        ("{comm: 'a*'}", "{comm: 'ab*'}"),
        ("{comm: 'a*'}", "{comm: 'a?c'}"),
        ("{comm: '[ab]*'}", "{comm: 'a*'}"),
        ("{exe: '*/ui'}", "{exe: '/usr/*/ui'}"),
        ("{comm: '*'}", "{exe: /a}"),
        ("{user: 're:.*'}", "{exe: /a}"),
        ("{exe: '**'}", "{exe: 're:^/a'}"),
        ("{comm: 're:^a'}", "{comm: 're:^a'}"),
        ("{comm: '*', exe: /a}", "{exe: /a}"),
    ],
)
def test_hidden_rule_is_an_error_that_names_the_other(earlier: str, later: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text(rules(earlier, later), "f")
    (line,) = caught.value.lines
    assert line.startswith("f:3:3: apps[")
    assert "can never match: the rule" in line
    assert "(f:2) comes first" in line


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("{comm: a, user: u}", "{comm: a}"),
        ("{comm: ab}", "{comm: 'a*'}"),
        ("{comm: 'a?'}", "{comm: 'a*'}"),
        ("{comm: 'a*b'}", "{comm: 'a*'}"),
        ("{exe: '*'}", "{comm: a}"),
        ("{comm: 're:^a'}", "{comm: ab}"),
        ("{comm: 'a*'}", "{comm: 're:^ab'}"),
        ("{user: root}", "{user: 0}"),
    ],
)
def test_rule_that_may_still_match_is_kept(earlier: str, later: str) -> None:
    assert len(parse_text(rules(earlier, later)).apps) == 2


def test_rule_of_a_drop_in_can_hide_one_of_the_main_file(tmp_path: Path) -> None:
    main, drop_in = tmp_path / "main.yaml", tmp_path / "drop-in.yaml"
    main.write_text("apps: [{name: ui, match: {exe: /usr/bin/ui}, priority: 1}]")
    drop_in.write_text("\napps: [{name: all, match: {exe: '/usr/*'}, priority: 1}]")
    with pytest.raises(ConfigError) as caught:
        load([main, drop_in])
    assert caught.value.lines[0].startswith(
        f"{main}:1:8: apps[ui].match: can never match: the rule all ({drop_in}:2)"
    )


def test_same_name_twice_in_one_file_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"f:3:3: .*: duplicate name: the rule at line 2"):
        parse_text(
            "apps:\n- {name: r, match: {comm: a}, priority: 1}\n- {name: r, match: {comm: b}, priority: 1}",
            "f",
        )


def test_a_thousand_rules_are_checked_in_time() -> None:
    assert len(parse_text(rules(*(f"{{comm: 'a{n}-*'}}" for n in range(1000)))).apps) == 1000


PIECE = st.sampled_from(["*", "?", "[ab]", "[!a]", "a", "b"])
PATTERN = st.lists(PIECE, min_size=1, max_size=5).map("".join)


@given(PATTERN, PATTERN, st.text(alphabet="abc", max_size=6))
def test_what_is_reported_as_hidden_is_never_reached(earlier: str, later: str, comm: str) -> None:
    try:
        parse_text(rules(f"{{comm: '{earlier}'}}", f"{{comm: '{later}'}}"))
    except ConfigError:
        pass
    else:
        return
    alone = rule_table(parse_text(rules(f"{{comm: '{later}'}}")))
    before = rule_table(parse_text(rules(f"{{comm: '{earlier}'}}")))
    if match_rule(alone, {"comm": comm}) == 0:
        assert match_rule(before, {"comm": comm}) == 0
