"""What the documents point at is there: files, and tests by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.source_tree import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "buildroot/README.md", *(ROOT / "docs").glob("*.md")])
FILE = re.compile(r"`((?:tests|lmkd|configs|docs|tools)/[\w./-]+\.\w+)`")
TEST = re.compile(r"`(test_\w+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def names_of_tests() -> set[str]:
    found = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in found for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_a_page_points_at_is_there(page: Path) -> None:
    text = page.read_text()
    files = [ROOT / name for name in FILE.findall(text)] + [page.parent / name for name in LINK.findall(text)]
    assert [str(file) for file in files if not file.exists()] == []
    assert set(TEST.findall(text)) - names_of_tests() == set()
