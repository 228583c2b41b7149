"""Text that is no YAML, or barely: said in plain words, with a position; no rule vanishes silently."""

from __future__ import annotations

import pytest

from lmkd.config import parse_text
from lmkd.errors import ConfigError

RULE = "apps:\n  - name: ui\n    match: {exe: /usr/bin/ui}\n    priority: foreground\n"

ROWS = [
    (b"store:\n\tkind: zram\n", "f:2:1: kind:", "a tab is used for indentation: write spaces"),
    (b"store:\n  \tkind: zram\n", "f:2:3: kind:", "a tab is used"),
    (b"stall_budget:\t33ms", "f:1:14: stall_budget:", "a tab: YAML wants spaces"),
    (b"store:\n  kind: \xff\n", "f:2:9: kind:", "byte 0xff (offset 15) is not UTF-8"),
    ("log: ä".encode("latin-1"), "f:1:6: log:", "not UTF-8"),
    ("log: {}".encode("utf-16"), "f:1:1: encoding:", "this is UTF-16"),
    (b"log: {}\x00", "f:1:8: log:", "U+0000 is not allowed"),
    (b"log: \x1b[31m", "f:1:6: log:", "U+001B is not allowed"),
    (b'log: {level: "\\UFFFFFFFF"}', "f:1:", "not YAML"),
    (b"[" * 100_000, "f:1:17: yaml:", "nested deeper than 16 levels"),
    (b"- " * 1000, "f:1:", "nested deeper than 16 levels"),
    (b"a: " + b"{a: " * 5000, "f:1:", "nested deeper"),
    (b"log: {}\n---\nlog: {}\n", "f:2:1: yaml:", "a second document"),
    (b"log: {level: info", "f:1:18: log:", "a bracket is not closed"),
    (b"log: 'x", "f:1:8: log:", "a quote is not closed"),
    (b"log: @x", "f:1:6: log:", "must be quoted"),
    (b"log: *x", "f:1:6: log:", "must be quoted"),
    (b"apps: [{match: {exe: *indexer*}}]", "f:1:", "a value that begins with * must be quoted"),
    (b"apps: [{match: {exe: *}}]", "f:1:", "a value that begins with * must be quoted"),
    (b"log: a: b", "f:1:7: log:", "a second ': '"),
    (b"a: 1\nb\nc: 2", "f:3:1: c:", "without ':'"),
    (b"%x y\n", "f:2:1: yaml:", "YAML"),
]


def errors(text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "f")
    assert all(line.isprintable() for line in caught.value.lines)
    return caught.value.lines


@pytest.mark.parametrize(("text", "where", "meant"), ROWS)
def test_bad_syntax_is_told_in_plain_words(text: bytes, where: str, meant: str) -> None:
    lines = errors(text)
    assert any(line.startswith(where) and meant in line for line in lines), lines


def test_every_tab_is_reported() -> None:
    lines = errors("store:\n\tkind: zram\n\tsize: 1%\n\n\t\n")
    assert [line.split(":")[1] for line in lines] == ["2", "3"]


@pytest.mark.parametrize("line", range(1, 5))
@pytest.mark.parametrize("width", range(9))
def test_no_indentation_makes_a_rule_vanish(line: int, width: int) -> None:
    """Whatever column a line is moved to: the same rule, or an error with a position."""
    lines = RULE.splitlines()
    lines[line - 1] = " " * width + lines[line - 1].lstrip()
    try:
        config = parse_text("\n".join(lines), "f")
    except ConfigError as error:
        assert all(text.startswith("f:") for text in error.lines)
    else:
        assert [(rule.name, rule.priority, len(rule.matchers)) for rule in config.apps] == [("ui", 0, 1)]


@pytest.mark.parametrize("line", [1, 2, 3, 4])
def test_half_commented_rule_is_an_error_or_read(line: int) -> None:
    lines = RULE.splitlines()
    lines[line - 1] = "#" + lines[line - 1]
    with pytest.raises(ConfigError):
        parse_text("\n".join(lines))


def test_second_rule_that_lost_its_first_line_does_not_melt_into_the_one_before() -> None:
    text = RULE + "#  - name: indexer\n    match: {comm: indexer}\n    priority: cached\n"
    assert any("duplicate key" in line for line in errors(text))


def test_size_of_a_file_is_bounded() -> None:
    assert errors(b"#" * (256 * 1024 + 1)) == ("f: larger than 256 KiB: this is no configuration",)


def test_number_of_rules_is_bounded() -> None:
    text = "apps:\n" + "".join(f"- {{match: {{comm: a{n}}}, priority: 1}}\n" for n in range(1001))
    assert errors(text) == ("f:2:1: apps: has 1001 rules: at most 1000",)


def test_name_of_a_file_stays_in_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text("x: 1", "a\nb")
    assert caught.value.lines[0].startswith("a\\nb:1:1: x:")
