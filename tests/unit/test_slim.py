"""What is loaded slim behaves the same: lines stay, docstrings and columns go, constants are left alone."""

from __future__ import annotations

import subprocess
import sys
import traceback
from types import CodeType, ModuleType
from typing import Any

import pytest

from lmkd.slim import forget, slim
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


def test_annotations_are_forgotten_wherever_functions_are() -> None:
    text = """from __future__ import annotations
def plain(x: int) -> list[str]: return [str(x)]
class Outer:
    field: int
    def method(self, x: int) -> str: return str(x)
    @property
    def name(self) -> str: return "of the property"
    @staticmethod
    def still(x: int) -> int: return x
    @classmethod
    def made(cls) -> Outer: return cls()
    class Inner:
        def deep(self, x: int) -> int: return x
other = print
foreign = str
"""
    module = loaded(compile(text, "text.py", "exec"))
    forget(module)
    outer = module.Outer
    functions = (module.plain, outer.method, outer.name.fget, outer.still, outer.made.__func__, outer.Inner.deep)
    assert [function.__annotations__ for function in functions] == [{}] * 6
    assert (module.plain(1), outer().method(2), outer().name, outer.still(3)) == (["1"], "2", "of the property", 3)
    assert isinstance(outer.made(), outer) and outer.Inner().deep(4) == 4


def printed(script: str) -> str:
    """By an interpreter that loads slim from its start."""
    start = "import sys; sys.path.append(sys.argv[1]); from lmkd.slim import install; install(); "
    command = [sys.executable, "-I", "-B", "-c", start + script, str(ROOT)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_module_forgets_where_it_came_from_and_a_package_does_not() -> None:
    script = (
        "import lmkd.units, lmkd.kernel, lmkd.kernel.meminfo; import lmkd.units as again; "
        "print(lmkd.units.__spec__, lmkd.kernel.__spec__ is not None, again is lmkd.units, lmkd.units.__file__[-8:])"
    )
    assert printed(script).split() == ["None", "True", "True", "units.py"]


def test_a_process_that_installs_it_loads_so_from_there_on() -> None:
    script = (
        "import lmkd.units, colorsys, _ctypes; "
        "print(lmkd.units.__doc__, lmkd.units.format_kib.__doc__, colorsys.__doc__, lmkd.units.format_kib(2048))"
    )
    assert printed(script).split(maxsplit=3) == ["None", "None", "None", "2.0 MB\n"]
