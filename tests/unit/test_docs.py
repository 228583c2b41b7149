"""What the documents name is there: files, tests, commands with their options, keys, kernel features and options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lmkd.config import parse_text
from lmkd.kernel.features import Features
from lmkd.values import field_names
from tests.unit.doc_pages import commands, examples, wrong_keys, wrong_words
from tests.unit.source_tree import ROOT

BESIDE = [ROOT / "README.md", ROOT / "buildroot/README.md", ROOT / "yocto/meta-lmkd/README.md"]
PAGES = sorted([*BESIDE, *(ROOT / "docs").glob("*.md")])
OPTION = re.compile(r"\bCONFIG_[A-Z0-9_]+")
FILE = re.compile(r"`((?:tests|lmkd|configs|docs|tools)/[\w./-]+\.\w+)`")
TEST = re.compile(r"`(test_\w+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def names_of_tests() -> set[str]:
    found = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for text in found for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_what_a_page_points_at_is_there(page: Path) -> None:
    text = page.read_text()
    files = [ROOT / name for name in FILE.findall(text)] + [page.parent / name for name in LINK.findall(text)]
    assert [str(file) for file in files if not file.exists()] == []
    assert set(TEST.findall(text)) - names_of_tests() == set()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_on_a_page_is_one(page: Path) -> None:
    found = {line: wrong for line in commands(page.read_text()) if (wrong := wrong_words(line))}
    assert found == {}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_key_on_a_page_is_one_and_every_example_is_right(page: Path) -> None:
    text = page.read_text()
    assert wrong_keys(text) == []
    for example in examples(text):
        parse_text(example, page.name)


def test_what_is_no_command_and_no_key_is_found() -> None:
    page = "`lmkd store up|fly`, `lmkd ps --colour`, `lmkd sing`, `lmkd run --dry-run`\n\n    lmkd status --wach | cat"
    assert [wrong_words(line) for line in commands(page)] == [["fly"], ["--colour"], ["sing"], [], ["--wach"]]
    page = "`store.kind`, `policy.trim: false`, `store.writeback.idel`, `store.md`"
    assert wrong_keys(page) == ["store.writeback.idel"]
    page = "`store: {kind: none}` `a: {b}`\n```yaml\ntrim: {cached: false}\n```\n"
    assert examples(page) == ["trim: {cached: false}\n", "store: {kind: none}"]


def test_the_page_on_the_kernel_has_every_feature_that_is_probed() -> None:
    page = (ROOT / "docs/kernel.md").read_text()
    assert [name for name in field_names(Features) if f"`{name}`" not in page] == []


def test_the_page_on_the_kernel_has_every_option_that_the_trees_enable() -> None:
    page = (ROOT / "docs/kernel.md").read_text()
    yocto = (ROOT / "yocto/meta-lmkd/recipes-kernel/linux/files").rglob("*.cfg")
    given = "".join(path.read_text() for path in (ROOT / "buildroot/package/lmkd/lmkd.mk", *yocto))
    assert set(OPTION.findall(given)) - set(OPTION.findall(page)) == set()
