"""Matching: first rule wins, all matchers must hold, globs as fnmatch has them, units as systemd does."""

from __future__ import annotations

import fnmatch
import marshal
import re
import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lmkd.config import parse_text, rule_table
from lmkd.matching import fields_used, glob_match, is_glob, match_rule, unit_of_cgroup

FACTS = {
    "comm": "ui",
    "exe": "/usr/bin/ui",
    "cmdline": "/usr/bin/ui --full",
    "user": "kiosk",
    "uid": "1000",
    "cgroup": "/system.slice/ui.service",
    "unit": "ui.service",
}


def row(*matchers: tuple[str, str, str]) -> tuple[object, ...]:
    return ("a rule", matchers)


@pytest.mark.parametrize(
    "matcher",
    [
        ("comm", "exact", "ui"),
        ("exe", "glob", "/usr/*/ui"),
        ("cmdline", "glob", "*--full"),
        ("cmdline", "regex", "--f[u]ll$"),
        ("user", "exact", "kiosk"),
        ("user", "exact", "1000"),
        ("cgroup", "glob", "/system.slice/*"),
        ("unit", "exact", "ui.service"),
    ],
)
def test_each_field_and_kind_matches(matcher: tuple[str, str, str]) -> None:
    assert match_rule((row(matcher),), FACTS) == 0


def test_first_of_two_matching_rules_wins() -> None:
    rules = (row(("comm", "exact", "other")), row(("comm", "glob", "u*")), row(("comm", "exact", "ui")))
    assert match_rule(rules, FACTS) == 1


def test_all_matchers_of_a_rule_must_hold() -> None:
    assert match_rule((row(("comm", "exact", "ui"), ("user", "exact", "root")),), FACTS) is None


def test_unreadable_fact_matches_nothing_not_even_a_star() -> None:
    rules = (row(("exe", "glob", "*")), row(("unit", "regex", ".*")))
    assert match_rule(rules, {"exe": None}) is None


def test_rule_without_matchers_matches_nothing() -> None:
    assert match_rule((row(),), FACTS) is None


def test_uid_may_be_a_number() -> None:
    assert match_rule((row(("user", "exact", "0")),), {"uid": 0}) == 0


def test_program_replaced_by_an_upgrade_keeps_its_rule() -> None:
    assert match_rule((row(("exe", "exact", "/usr/bin/ui")),), {"exe": "/usr/bin/ui (deleted)"}) == 0


def test_fields_that_no_rule_uses_need_not_be_read() -> None:
    assert fields_used((row(("comm", "exact", "a")), row(("exe", "glob", "/b*")))) == {"comm", "exe"}


def test_rule_table_survives_marshal_and_matches() -> None:
    config = parse_text("apps: [{match: {comm: 'u*', user: 1000}, priority: cached}]", "f")
    table = marshal.loads(marshal.dumps(rule_table(config)))
    assert table == rule_table(config)
    assert match_rule(table, FACTS) == 0


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/ui.service", "ui.service"),
        ("/system.slice/ui.service/payload/other.service", "ui.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-1000.slice/session-2.scope", "session-2.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope", "app-x.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", "init.scope"),
        ("/user.slice/user-1000.slice/user@1000.service", "user@1000.service"),
        ("/user.slice/user-1000.slice/user@1000.service/sub/x.service", "user@1000.service"),
        ("/system.slice/_tasks.service", "tasks.service"),
        ("/system.slice/ui.service (deleted)", "ui.service"),
        ("/docker/ui.service", None),
        ("/system.slice", None),
        ("/", None),
        ("", None),
    ],
)
def test_unit_is_the_one_systemd_names(path: str, unit: str | None) -> None:
    assert unit_of_cgroup(path) == unit


PIECES = st.sampled_from(
    ["*", "?", "[", "]", "!", "-", "a", "b", "c", "/", "[a-c]", "[!b]", "[]a]", "\n", "é"]
)
PATTERNS = st.lists(PIECES, max_size=8).map("".join)
TEXTS = st.text(alphabet="abc/[]!-\né", max_size=10)


@given(PATTERNS, TEXTS)
@example("[]", "[]")
@example("[!]", "[!]")
@example("a*b*", "ab")
@example("ab*ba", "aba")
@example("[--a]", "a")
@example("[a-]", "-")
def test_glob_agrees_with_fnmatch(pattern: str, text: str) -> None:
    assume(not confuses_fnmatch(pattern))
    assert glob_match(pattern, text) == (re.match(fnmatch.translate(pattern), text) is not None)


def confuses_fnmatch(pattern: str) -> bool:
    """fnmatch drops an empty range such as b-a, and then takes a ``!`` that came after it for a negation."""
    return "!" in pattern and any(low > high for low, high in re.findall("(?s)(?=(.)-(.))", pattern))


@given(TEXTS)
def test_text_without_wildcards_matches_only_itself(text: str) -> None:
    if not is_glob(text):
        assert glob_match(text, text)
        assert not glob_match(text, text + "x")


@pytest.mark.parametrize("pattern", ["*a" * 50 + "b", "*a?" * 30 + "b", "*" * 500 + "b", "[a]*" * 50 + "b"])
def test_hostile_glob_takes_no_exponential_time(pattern: str) -> None:
    begin = time.monotonic()
    assert not glob_match(pattern, "a" * 4000)
    assert time.monotonic() - begin < 5
