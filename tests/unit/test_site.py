"""`make site` fails for what a reader would run into: links, anchors and pictures that lead nowhere, stray pages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.unit.pages import main, stale
from tests.unit.source_tree import ROOT

INDEX = """# Index
[one](one.md), [a page that is not there](none.md), [an anchor that is not there](one.md#none),
[a file beside docs](../beside.yaml), [one that is not there](../none.yaml), ![a picture that is not there](none.svg),
[a page beside docs](../README.md), [one that is not there](../NONE.md)
"""


def build(docs: Path) -> list[str]:
    """The warnings; the exit code agrees with them."""
    if find_spec("sphinx") is None or find_spec("myst_parser") is None:
        pytest.skip("sphinx and myst-parser are not installed: the site is not built")
    out = docs.parent / "site"
    options = ["-q", "-W", "--keep-going", "-E", "-d", f"{out}-doctrees"]
    command = [sys.executable, "-m", "sphinx", *options, str(docs), str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in ran.stderr.splitlines() if "WARNING: " in line or "ERROR: " in line]
    assert (ran.returncode != 0) == bool(found), ran.stderr
    return found


def test_what_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copy(ROOT / "docs/conf.py", docs)
    (docs / "index.md").write_text(INDEX)
    (docs / "one.md").write_text("# One\n\nText.\n")
    (docs / "stray.md").write_text("# Stray\n\nText.\n")
    (tmp_path / "beside.yaml").write_text("{}\n")
    (tmp_path / "README.md").write_text("# Read me\n")
    found = "\n".join(build(docs))
    for missing in ("none.md", "'one': 'none'", "../none.yaml", "none.svg", "NONE.md", "stray.md"):
        assert missing in found, found
    assert "beside.yaml" not in found and "README" not in found


def test_a_page_that_is_not_what_it_is_made_from_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stale(tmp_path, {"a.md": "text"}) == ["a.md"]
    (tmp_path / "a.md").write_text("text")
    assert stale(tmp_path, {"a.md": "text"}) == []
    assert stale(tmp_path, {"a.md": "other"}) == ["a.md"]
    pytest.importorskip("rich", reason="rich is not installed: a picture cannot be made")
    assert main(["--check"], tmp_path) == 1
    assert "docs/configuration.md" in capsys.readouterr().err
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
