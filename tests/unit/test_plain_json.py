"""JSON without the package: the same texts, the same things, and an error for what is none."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.plain_json import dumps, loads

ROOT = Path(__file__).parents[2]
THINGS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(THINGS)
def test_a_text_is_that_of_the_package_and_comes_back(thing: Any) -> None:
    assert dumps(thing) == json.dumps(thing)
    assert dumps(thing, (",", ":")) == json.dumps(thing, separators=(",", ":"))
    assert loads(f" \n{dumps(thing)}\t") == thing


@given(st.text(max_size=30) | st.text(alphabet='[]{}":,0e.-ntf \\u', max_size=30))
def test_what_the_package_refuses_is_refused(text: str) -> None:
    try:
        wanted = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            loads(text)
    else:
        found = loads(text)
        assert found == wanted or (isinstance(found, float) and math.isnan(found))


def test_objects_and_constants_are_the_callers() -> None:
    assert loads('{"a": 1, "a": NaN}', list, str.lower) == [("a", 1), ("a", "nan")]


@pytest.mark.parametrize("thing", [math.nan, math.inf, [-math.inf]])
def test_what_is_no_number_is_refused_when_asked_to(thing: object) -> None:
    assert dumps(thing) == json.dumps(thing)
    with pytest.raises(ValueError, match="JSON"):
        dumps(thing, nan=False)


def test_what_json_has_no_word_for() -> None:
    with pytest.raises(TypeError, match="bytes is not JSON"):
        dumps({"a": b""})
    assert dumps([1j], default=str) == '["1j"]'
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError, match=r"."):
        dumps(loop)


BROKEN = ('"abc', '{"a" 1}', '{"a":1', "[1", "{1}", r'"\x"', r'"\u12"', '"\x01"', "[1,]", '{"a":1,}')


@pytest.mark.parametrize("text", BROKEN)
def test_it_is_refused_also_where_the_package_is_not_loaded(text: str) -> None:
    """The C functions look for json.decoder for their error. A talker died of that: here all tests have it loaded."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from lmkd.plain_json import loads\n"
        "assert 'json.decoder' not in sys.modules\n"
        "try: loads(sys.argv[2])\n"
        "except ValueError as error: print('refused')\n"
    )
    command = [sys.executable, "-I", "-S", "-c", program, str(ROOT), text]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "refused\n"
