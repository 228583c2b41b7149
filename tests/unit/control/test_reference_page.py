"""docs/protocol.md is what the schema says, and the schema is what the session does."""

from __future__ import annotations

import json

from lmkd.control.native import NativeSession
from lmkd.control.reference import protocol_page
from lmkd.control.schema import NOTICES, OPS
from tests.unit.control.fakes import ROOT, FakeSource
from tests.unit.source_tree import ROOT as TREE

EXAMPLES = {"int": 7, "bool": True, "text": "x", "names": ["kill"], "priority": "cached"}


def test_the_page_in_docs_is_made_from_the_schema() -> None:
    assert (TREE / "docs" / "protocol.md").read_text(encoding="utf-8") == protocol_page(), "run `make docs`"


def test_every_request_and_field_is_on_the_page() -> None:
    page = protocol_page()
    assert all(f"## `{op.name}`" in page and f"Reply: `{op.reply}`" in page for op in OPS)
    assert all(f"| `{field.name}` |" in page for op in OPS for field in (*op.fields, *op.rows))
    assert all(kind.text in page and kind.example in page for kind in NOTICES)


def test_every_request_of_the_schema_is_answered_with_the_fields_that_it_names() -> None:
    for op in OPS:
        source = FakeSource()
        source.events, source.rows = [{"event": "kill", "seq": 1}], [{"pid": 1}]
        session = NativeSession(ROOT, source)
        message = {"v": 1, "op": op.name, **{field.name: EXAMPLES[field.kind] for field in op.fields}}
        if op.name == "events":
            message.update(since=0, follow=False)
        replies = session.feed(json.dumps(message).encode())
        if session.waiting:
            replies += session.answered(len(source.orders), source.answer)
        reply = json.loads(replies[0])
        assert reply["ok"] is True, (op.name, reply)
        key = op.reply.split('"')[1]
        named = {row.name for row in op.rows}
        assert named <= {*reply, *(reply[key] if isinstance(reply[key], dict) else ())}, (op.name, reply)


def test_examples_are_json() -> None:
    for kind in NOTICES:
        assert kind.name in json.loads(kind.example.replace(",...", ""))
