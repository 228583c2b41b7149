"""A process without what the interpreter loads for others: most of ``os``, archives, names of encodings, docstrings.

For the resident processes alone: each would keep all of it for good. What is asked for after all is loaded then.
"""

from __future__ import annotations

import posix
import sys

import lmkd
from lmkd.slim import slim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FROZEN_ON_HEAP = sys.version_info >= (3, 13)
"""Until 3.12 the code of the interpreter's own modules is static data; a copy of that would only cost memory."""


def shed() -> None:
    """Once, before any module of ours is loaded that stays."""
    _lean_os()
    _no_archives()
    _no_aliases()
    if FROZEN_ON_HEAP:
        _slim_functions()


def _lean_os() -> None:
    """Let ``posix``, of which ``os`` is made, stand for it: each name of it is the same object.

    ``environb`` is a plain mapping of bytes. What else is asked for (``environ``, ``path``) loads ``os`` itself, with
    ``_collections_abc`` and ``posixpath``: 40 KiB with Python 3.11, 170 KiB from 3.13 on.
    """
    if "os" in sys.modules:
        return
    lean: Any = posix
    names: dict[str, Any] = vars(lean)
    environ = names.pop("environ")  # of bytes; that of os is of texts
    names["environb"], names["devnull"] = environ, "/dev/null"

    def rest_of_os(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # the import system's questions
        if sys.modules.get("os") is lean:
            del sys.modules["os"]
            names["environ"] = environ
            try:
                import os  # noqa: F401
            finally:
                del names["environ"]
        return getattr(sys.modules["os"], name)

    path: Any = type(sys)("os.path")
    path.__getattr__ = lambda name: getattr(rest_of_os("path"), name)
    names["__getattr__"] = rest_of_os
    sys.modules.update({"os": lean, "os.path": path})


def _no_archives() -> None:
    """Forget how to import from a zip file, unless we came out of one."""
    from _frozen_importlib_external import FileLoader

    loader: object = lmkd.__spec__.loader
    if isinstance(loader, FileLoader):
        sys.path_hooks[:] = [hook for hook in sys.path_hooks if getattr(hook, "__module__", "") != "zipimport"]
        sys.modules.pop("zipimport", None)


class _Aliases:
    """Other names of encodings: 300, for the one that is asked for."""

    def get(self, name: str) -> str | None:
        from encodings import aliases

        return aliases.aliases.get(name)


def _no_aliases() -> None:
    encodings: Any = sys.modules.get("encodings")
    if encodings is not None and hasattr(encodings, "_aliases"):
        encodings._aliases = _Aliases()
        encodings.__dict__.pop("aliases", None)
        sys.modules.pop("encodings.aliases", None)


def _slim_functions() -> None:
    """The interpreter's own functions in Python: without docstrings and columns, as ``slim`` loads ours."""
    import gc

    for item in gc.get_objects():
        if type(item) is type(slim):
            item.__code__ = slim(item.__code__)
            item.__doc__ = None
