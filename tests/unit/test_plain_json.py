"""JSON without the package: the same texts, the same things, and an error for what is none."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.plain_json import dumps, loads

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
