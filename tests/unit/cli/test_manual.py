"""Man pages: complete, made from the definitions, and well-formed by the tools that are here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lmkd.cli.definitions import definitions
from lmkd.cli.main import COMMANDS
from lmkd.cli.manual import CONFIG_PAGE, escaped, main, pages
from lmkd.config.schema import FIELDS

PAGES = pages()


def text_of(page: str) -> str:
    return page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")


def test_every_command_has_its_page_and_its_options_on_it() -> None:
    assert set(PAGES) == {"lmkd.8", CONFIG_PAGE, *(f"lmkd-{entry.name}.8" for entry in COMMANDS)}
    for one in definitions().below:
        page = text_of(PAGES[f"lmkd-{one.path[-1]}.8"])
        for each in one.everything():
            assert all(flag in page for option in each.options for flag in option.flags)
            assert " ".join(each.path) in page


def test_every_key_of_the_configuration_is_on_its_page() -> None:
    page = text_of(PAGES[CONFIG_PAGE])
    assert all(field.key in page and field.doc.removesuffix(".").split("`")[0] in page for field in FIELDS)


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        (".so /etc/passwd", "\\&.so /etc/passwd"),
        ("'quoted", "\\&'quoted"),
        ("a\\b --c", "a\\eb \\-\\-c"),
        ("run `lmkd ps` now", "run \\fBlmkd ps\\fR now"),
        ("\u00e9", "\\[u00E9]"),
    ],
)
def test_text_is_never_a_request(text: str, roff: str) -> None:
    assert escaped(text) == roff


def test_the_pages_are_written(tmp_path: Path) -> None:
    main(str(tmp_path / "man"))
    assert {path.name for path in (tmp_path / "man").iterdir()} == set(PAGES)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_well_formed(name: str, tmp_path: Path) -> None:
    page = tmp_path / name
    page.write_text(PAGES[name], encoding="ascii")
    checks = {
        "groff": ["-ww", "-man", "-Tascii", "-z", str(page)],
        "mandoc": ["-T", "lint", "-W", "warning", str(page)],
    }
    here = [tool for tool in checks if shutil.which(tool)]
    if not here:
        pytest.skip("neither groff nor mandoc is here: man pages are not checked")
    for tool in here:
        ran = subprocess.run([tool, *checks[tool]], capture_output=True, text=True, check=False)
        said = [line for line in (ran.stdout + ran.stderr).splitlines() if "missing date" not in line]
        assert said == [], tool
