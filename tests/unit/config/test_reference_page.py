"""docs/configuration.md is what the schema says."""

from __future__ import annotations

from lmkd.config import reference_markdown
from tests.unit.source_tree import ROOT


def test_the_page_in_docs_is_made_from_the_schema() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference_markdown(), "run `make docs`"
