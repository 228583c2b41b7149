"""Loading modules without what only people read: docstrings, and the columns of every instruction.

A resident process keeps the code of its modules for good. Docstrings and the column tables of PEP 657 are a tenth of
it, in each of the two processes; tracebacks keep their lines. Only modules that are loaded after ``install`` are
concerned, in this process alone.
"""

from __future__ import annotations

import sys
from _frozen_importlib_external import ExtensionFileLoader, FileFinder, SourceFileLoader, SourcelessFileLoader
from _imp import extension_suffixes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, ModuleType

CO_OPTIMIZED, CO_HAS_DOCSTRING = 0x1, 0x4000000
"""Of a function's code. The second is new in Python 3.13; before, a def has its docstring or None first."""
_MARKED = sys.version_info >= (3, 13)
_LINE, _NO_LINE, _UNITS = 13, 15, 8
"""Of the location table (CPython, Objects/locations.md): no columns; no location; code units of an entry at most."""


def slim(code: CodeType) -> CodeType:
    """The same code without docstrings of modules and functions, and with lines only."""
    consts = [slim(item) if type(item) is type(code) else item for item in code.co_consts]
    if consts and isinstance(consts[0], str) and _has_docstring(code):
        consts[0] = None
    return code.replace(co_consts=tuple(consts), co_linetable=_lines(code))


def _has_docstring(code: CodeType) -> bool:
    """Is the first constant, which is a text, the docstring?"""
    if not code.co_flags & CO_OPTIMIZED:
        return code.co_name == "<module>" and code.co_names[:1] == ("__doc__",)
    return bool(code.co_flags & CO_HAS_DOCSTRING) if _MARKED else not code.co_name.startswith("<")


def _lines(code: CodeType) -> bytes:
    table = bytearray()
    last = code.co_firstlineno
    for start, end, line in code.co_lines():
        units = (end - start) // 2
        while units > 0:
            taken = min(units, _UNITS)
            units -= taken
            if line is None:
                table.append(0x80 | _NO_LINE << 3 | taken - 1)
                continue
            table.append(0x80 | _LINE << 3 | taken - 1)
            delta, last = line - last, line
            rest = -delta << 1 | 1 if delta < 0 else delta << 1
            while rest > 0x3F:
                table.append(0x40 | rest & 0x3F)
                rest >>= 6
            table.append(rest)
    return bytes(table)


def forget(module: ModuleType) -> None:
    """Take from a module that was run what no code of it uses: annotations, and what it was loaded by and from.

    A package keeps the latter, its modules are found by it.
    """
    _forget_annotations(vars(module), module.__name__)
    if not hasattr(module, "__path__"):
        vars(module).update(__spec__=None, __loader__=None, __cached__=None)


def _forget_annotations(names: Mapping[str, object], module: str) -> None:
    for item in names.values():
        if isinstance(item, type):
            if item.__module__ == module:
                _forget_annotations(vars(item), module)
            continue
        of = item.fget if isinstance(item, property) else getattr(item, "__func__", item)
        if type(of) is type(forget):
            del of.__annotations__


class _Source(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        code = super().get_code(fullname)
        return None if code is None else slim(code)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        forget(module)


class _Sourceless(SourcelessFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        code = super().get_code(fullname)
        return None if code is None else slim(code)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        forget(module)


def install() -> None:
    """Load so from here on. The order is the interpreter's own: extension modules, sources, compiled files alone."""
    kinds = ((ExtensionFileLoader, extension_suffixes()), (_Source, [".py"]), (_Sourceless, [".pyc"]))
    sys.path_hooks.insert(0, FileFinder.path_hook(*kinds))
    sys.path_importer_cache.clear()
