"""For any input: a configuration or a ConfigError; and every configuration can be written and read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lmkd.config import Config, dump, parse_text
from lmkd.config.schema import FIELDS
from lmkd.errors import ConfigError
from lmkd.values import replace

KEYS = st.sampled_from(sorted({field.key for field in FIELDS})) | st.text(max_size=5)
SCALARS = (
    st.sampled_from(
        ["33ms", "60%", "12M", "zram", "auto", "cached", "re:(", "/usr/bin/ui", "*", "yes", "", "0100"]
    )
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats()
    | st.text(max_size=10)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
PIECES = st.sampled_from(
    [
        "apps:",
        "store:",
        "match:",
        "- ",
        "\n",
        "  ",
        "\t",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "&a ",
        "*a",
        "<<: ",
        "'",
        '"',
        "!t ",
        "---\n",
        "...\n",
        "|\n",
        "> ",
        "#",
        "%",
        "33ms",
        "comm",
        "\\",
        "\0",
    ]
)


def assert_config_or_error(text: str | bytes) -> None:
    try:
        config = parse_text(text, "f")
    except ConfigError as error:
        assert error.lines
        assert all(line.startswith("f:") and line.isprintable() for line in error.lines)
    else:
        assert isinstance(config, Config)


@given(st.text())
def test_any_text_is_a_config_or_a_config_error(text: str) -> None:
    assert_config_or_error(text)


@given(st.binary())
def test_any_bytes_are_a_config_or_a_config_error(data: bytes) -> None:
    assert_config_or_error(data)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_any_pieces_of_yaml_are_a_config_or_a_config_error(text: str) -> None:
    assert_config_or_error(text)


@given(TREES)
def test_any_tree_is_a_config_or_a_config_error(tree: Any) -> None:
    assert_config_or_error(yaml.safe_dump(tree, allow_unicode=True))


DURATIONS = st.integers(min_value=5, max_value=1000).map("{}ms".format)
AMOUNTS = st.integers(min_value=1, max_value=50).map("{}%".format) | st.integers(min_value=1).filter(
    lambda mib: mib < 10_000
).map("{}M".format)
AMOUNTS_OR_AUTO = AMOUNTS | st.just("auto")
COMMS = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0xD7FF), min_size=1, max_size=4)
CLASS_OR_NUMBER = st.sampled_from(["foreground", "cached", "protected"]) | st.integers(
    min_value=-1000, max_value=1000
)
RULES = st.fixed_dictionaries(
    {"match": st.fixed_dictionaries({"cmdline": COMMS.filter(str.strip)}), "priority": CLASS_OR_NUMBER},
    optional={
        "on_kill": st.just("/bin/x"),
        "grace": DURATIONS,
        "group": st.sampled_from(["tree", "cgroup"]),
        "name": st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
    },
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "stall_budget": DURATIONS,
        "store": st.fixed_dictionaries(
            {},
            optional={
                "kind": st.sampled_from(["zram", "none"]),
                "size": AMOUNTS,
                "swap_priority": st.integers(min_value=0, max_value=32767),
            },
        ),
        "sysctls": st.fixed_dictionaries(
            {}, optional={"vm.swappiness": st.integers(min_value=0, max_value=200)}
        ),
        "policy": st.fixed_dictionaries(
            {},
            optional={"headroom_floor": AMOUNTS_OR_AUTO, "kill_horizon": DURATIONS, "runaway": st.booleans()},
        ),
        "grace": st.fixed_dictionaries({}, optional={"service": DURATIONS}),
        "apps": st.lists(RULES, max_size=4),
    },
)


@given(FILES)
def test_valid_configuration_is_written_and_read_back(tree: dict[str, Any]) -> None:
    try:
        config = parse_text(json.dumps(tree), "f")
    except ConfigError as error:
        # Random rules may hide each other or share a name; nothing else can be wrong with them.
        assert all(
            "can never match" in line or "duplicate name" in line or "not a name" in line
            for line in error.lines
        )
        return
    assert placeless(parse_text(dump(config), "g")) == placeless(config)


def test_dump_of_the_defaults_is_the_defaults() -> None:
    assert placeless(parse_text(dump(parse_text("")))) == placeless(parse_text(""))


HOSTILE = ['"', "\\", "*x", "re:[.]", "a: b # c", "é\u2028", "\x7f", "\x80", "😀", " x"]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_pattern_is_written_and_read_back(pattern: str) -> None:
    text = f"apps: [{{match: {{cmdline: {json.dumps(pattern)}}}, priority: 1}}]"
    config = parse_text(text)
    assert config.apps[0].matchers[0].pattern == pattern.removeprefix("re:")
    assert placeless(parse_text(dump(config))) == placeless(config)


def placeless(config: Config) -> Config:
    return replace(config, sources=(), apps=tuple(replace(rule, file="", line=0) for rule in config.apps))
