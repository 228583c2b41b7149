"""A process that sheds what it does not need does the same as before, and gets the rest when it asks."""

from __future__ import annotations

import ast
import os
import posix
import subprocess
import sys

import pytest

from tests.unit.source_tree import ROOT, modules, parse
from tests.unit.test_house_rules import RESIDENT

BEGIN = (
    "import sys; sys.path.append(sys.argv[1]); from lmkd.slim import install; install(); "
    "from lmkd.lean import shed; shed(); "
)
# Of os beyond posix, what lean gives; the others load all of os.
GIVEN = {"environb", "devnull"}


def run(script: str, **environment: str) -> str:
    """What a new interpreter prints that is started as the guard is."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", BEGIN + script, str(ROOT)],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_os_is_posix_until_more_is_asked_for() -> None:
    script = (
        "import os, posix; print(os is posix, os.getpid is posix.getpid, '_collections_abc' in sys.modules); "
        "print(os.path.join('a', 'b'), os.environ['WORD'], '_collections_abc' in sys.modules, hasattr(os, 'none')); "
        "import os as again; print(again is posix, again.environ is os.environ)"
    )
    assert run(script, WORD="of \u00e9").splitlines() == [
        "True True False", "a/b of \u00e9 True False", "False True",
    ]  # fmt: skip


def test_the_environment_is_there_in_bytes_and_never_under_the_name_of_the_other() -> None:
    assert run("import os; print(os.environb[b'WORD'], os.devnull)", WORD="x") == "b'x' /dev/null"
    assert run("import os; os.path; print(type(os.environ.get('WORD')))", WORD="x") == "<class 'str'>"


def test_what_is_imported_from_os_is_found() -> None:
    assert run("import os.path; print(os.path.isdir('/'))") == "True"
    assert run("from os import getpid, makedirs, environ; print(callable(makedirs), environ['A'])", A="1") == "True 1"


def test_an_encoding_is_found_by_any_of_its_names() -> None:
    script = "print('encodings.aliases' in sys.modules, '\u00e9'.encode('l1'), 'a'.encode('646'), 'a'.encode('u8'))"
    assert run(script) == r"False b'\xe9' b'a' b'a'"
    assert run("exec(\"try: 'a'.encode('none such')\\nexcept LookupError as error: print(error)\")") == (
        "unknown encoding: none such"
    )


def test_there_is_no_import_from_archives() -> None:
    assert run("import colorsys; print('zipimport' in sys.modules, len(sys.path_hooks), colorsys.ONE_THIRD > 0)") == (
        "False 2 True"
    )


def test_a_traceback_still_names_files_functions_and_lines() -> None:
    script = (
        "try:\n import lmkd.units; lmkd.units.format_kib('much')\n"
        "except TypeError:\n sys.excepthook(*sys.exc_info())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", BEGIN + "\n" + script, str(ROOT)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 'lmkd/units.py", line ' in done.stderr and "in format_kib" in done.stderr, done.stderr


@pytest.mark.parametrize("kind", ["service", "helper"])
def test_what_stays_loads_little(kind: str) -> None:
    load = {"service": "import lmkd.resident.service", "helper": "import lmkd.resident, lmkd.helper.main"}[kind]
    heavy = ("os", "_collections_abc", "posixpath", "stat", "typing", "re", "collections", "zipimport")
    script = f"{load}; print(sorted(name for name in {heavy} if name in sys.modules), sys.modules['os'].__name__)"
    assert run(script) == "['os'] posix"


def test_the_talker_loads_neither_typing_nor_json() -> None:
    heavy = ("typing", "json", "re", "collections", "functools", "enum", "contextlib", "_collections_abc")
    script = (
        "import lmkd.resident, lmkd.helper.main, lmkd.control.talk; "
        f"print(sorted(name for name in {heavy} if name in sys.modules))"
    )
    assert run(script) == "[]"


def of_os(module: str) -> list[str]:
    """What a module uses of os that posix does not have, by line."""
    return [
        f"line {node.lineno}: os.{node.attr}"
        for node in ast.walk(parse(modules()[module]))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
        if not hasattr(posix, node.attr) or node.attr == "environ"
        if node.attr not in GIVEN
    ]


@pytest.mark.parametrize("module", sorted(RESIDENT))
def test_what_stays_uses_no_more_of_os_than_there_is(module: str) -> None:
    assert not of_os(module), f"each loads all of os for good: {of_os(module)}"
