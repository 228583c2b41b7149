"""Records taken apart again: what the encoder makes comes back, and no bytes do harm."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from lmkd.guard.record import encode
from lmkd.helper.record_text import members, sentence, variables

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
RECORDS = st.dictionaries(st.text(max_size=8), VALUES, max_size=6)


@given(RECORDS)
def test_every_member_comes_back_with_its_text(record: dict[str, object]) -> None:
    line = encode(record).encode()
    expected = []
    for key, item in json.loads(line).items():
        shown = "" if item is None else encode(item)
        if isinstance(item, str):  # the same, but for control characters, which stay escaped
            shown = shown[1:-1].replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\")
        expected.append((encode(key)[1:-1].replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\"), shown))
    assert members(line) == (expected if record else [])


@given(st.binary(max_size=200))
def test_whatever_the_bytes_nothing_is_raised_and_no_text_has_a_newline_of_ours(data: bytes) -> None:
    fields = members(data)
    sentence(fields)
    variables(fields)


@given(st.text('{}[]",:\\ab1', max_size=40))
def test_what_is_nearly_a_record_ends_as_well(text: str) -> None:
    members(f"{{{text}}}".encode())
    members(text.encode())


@given(RECORDS.filter(bool), st.data())
def test_a_record_that_was_cut_is_no_record(record: dict[str, object], data: st.DataObject) -> None:
    line = encode(record).encode()
    cut = line[: data.draw(st.integers(0, len(line) - 1))]
    assert members(cut) == [] or cut.endswith(b"}")


def test_the_sentence_has_the_event_first_and_quotes_what_has_spaces() -> None:
    line = b'{"event":"kill","level":"warning","seq":3,"pid":7,"name":"my \\"app\\"","reason":null,"pids":[1,2]}'
    assert sentence(members(line)) == 'kill pid=7 name="my "app"" reason="" pids=[1,2]'
    assert sentence([]) == "?"


def test_variables_have_names_that_any_environment_takes() -> None:
    made = variables([("pid", "7"), ("a-b", "x"), ("1a", "x"), ("é", "x"), ("k" * 99, "y"), ("", "z")])
    assert made == {"LMKD_PID": "7", f"LMKD_{'K' * 59}": "y"}
