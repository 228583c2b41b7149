"""What is loaded slim behaves the same: lines stay, docstrings and columns go, constants are left alone."""

from __future__ import annotations

import subprocess
import sys
import traceback
from types import CodeType, ModuleType
from typing import Any

import pytest

from lmkd.slim import slim
from tests.unit.source_tree import ROOT, modules

TEXT = '''"""Of the module."""
NAMES = ["a" for _ in range(2)]
KEY = (lambda: "text")()


def documented(x):
    """Of the function."""
    return [
        "first",
        x,
    ]


def plain():
    return "only a constant"


def empty():
    pass


class Thing:
    """Of the class."""

    word = "kept"

    def fails(self):
        """Fails in its second line."""
        value = 1
        return (value
                / 0)
'''


def loaded(code: CodeType) -> Any:
    module = ModuleType("text")
    exec(code, module.__dict__)
    return module


def parts(code: CodeType) -> list[CodeType]:
    return [code, *(part for item in code.co_consts if isinstance(item, CodeType) for part in parts(item))]


def runs(code: CodeType) -> list[tuple[int, int | None]]:
    """The line of every instruction."""
    return [(at, line) for start, end, line in code.co_lines() for at in range(start, end, 2)]


def test_it_does_the_same() -> None:
    module = loaded(slim(compile(TEXT, "text.py", "exec")))
    assert (module.NAMES, module.KEY, module.Thing.word) == (["a", "a"], "text", "kept")
    assert (module.documented(2), module.plain(), module.empty()) == (["first", 2], "only a constant", None)


def test_docstrings_of_modules_and_functions_are_gone() -> None:
    module = loaded(slim(compile(TEXT, "text.py", "exec")))
    assert (module.__doc__, module.documented.__doc__, module.Thing.fails.__doc__) == (None, None, None)


def test_a_traceback_names_the_same_lines() -> None:
    lines = []
    for code in (compile(TEXT, "text.py", "exec"), slim(compile(TEXT, "text.py", "exec"))):
        try:
            loaded(code).Thing().fails()
        except ZeroDivisionError as error:
            lines.append([frame.lineno for frame in traceback.extract_tb(error.__traceback__)])
    assert lines[0] == lines[1]


@pytest.mark.parametrize("module", sorted(modules()))
def test_every_module_of_ours_keeps_its_lines_and_takes_less(module: str) -> None:
    code = compile(modules()[module].read_text(), module, "exec")
    for before, after in zip(parts(code), parts(slim(code)), strict=True):
        assert runs(after) == runs(before)
        assert after.co_code == before.co_code
        assert len(after.co_linetable) <= len(before.co_linetable) + 2


def test_a_process_that_installs_it_loads_so_from_there_on() -> None:
    script = (
        "import sys; sys.path.append(sys.argv[1]); from lmkd.slim import install; install(); "
        "import lmkd.units, colorsys, _ctypes; "
        "print(lmkd.units.__doc__, lmkd.units.format_kib.__doc__, colorsys.__doc__, lmkd.units.format_kib(2048))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", script, str(ROOT)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split(maxsplit=3) == ["None", "None", "None", "2.0 MB\n"]
