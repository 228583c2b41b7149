"""What Buildroot leaves out of Python unless it is asked for is not needed: the service and each command go without."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.source_tree import ROOT, modules

# package/python3/Config.in of Buildroot 2025.05 to 2026.08: what is off by default, and unicodedata, which is large.
LEFT_OUT = (
    "_bz2", "_codecs_cn", "_codecs_jp", "_codecs_kr", "_curses", "_decimal", "_lzma", "_sqlite3", "_ssl", "_zstd",
    "pyexpat", "readline", "unicodedata", "zlib",
)  # fmt: skip
OPTIONAL = "lmkd.cli.watch_rich"
"""Needs rich, which is no dependency; `lmkd status --watch` goes without."""
BLOCK = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {LEFT_OUT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, {str(ROOT)!r})
"""


def in_small_python(script: str) -> str:
    """What the script prints. -B: bytecode that a full Python left would hide what its source needs."""
    command = [sys.executable, "-B", "-X", "pycache_prefix=/nonexistent", "-c", BLOCK + script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_every_module_loads() -> None:
    names = sorted(name for name in modules() if name not in (OPTIONAL, "lmkd.__main__"))
    assert in_small_python(f"for name in {names!r}:\n    __import__(name)\nprint('all')") == "all\n"


@pytest.mark.parametrize("name", ["structlog", "yaml", "psutil", "lz4.block"])
def test_what_lmkd_depends_on_loads(name: str) -> None:
    assert in_small_python(f"import {name}\nprint('here')") == "here\n"


def test_a_name_in_other_letters_can_still_be_shown() -> None:
    assert in_small_python("from lmkd.cli.spans import cells\nprint(cells('a\\u6f22'))") == "2\n"
