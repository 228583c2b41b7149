"""For any input: a configuration or a ConfigError."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lmkd.config import Config, parse_text
from lmkd.config.schema import FIELDS
from lmkd.errors import ConfigError

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


HOSTILE = ['"', "\\", "*x", "re:[.]", "a: b # c", "é\u2028", "\x7f", "\x80", "😀", " x"]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_pattern_is_read_as_it_is(pattern: str) -> None:
    config = parse_text(f"apps: [{{match: {{cmdline: {json.dumps(pattern)}}}, priority: 1}}]")
    assert config.apps[0].matchers[0].pattern == pattern.removeprefix("re:")
