"""Owns the host's interpreter of a board's Python version: this machine's own, else the suite's, from the archive.

Byte code is the same on every architecture, so the board's suite built for this machine compiles for the board at the
machine's full speed. It is unpacked, not installed: its own dynamic loader starts it, with its own C library, under the
name of the wrapper, which it starts again for each worker.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import archive
from .cache import cache_dir, locked
from .packages import BoardError, Progress

PACKAGES = ("python3",)
WRAPPER = """\
#!/bin/sh
self=$(readlink -f "$0")
root=${{self%/*}}/root
export PYTHONHOME="$root/usr"
exec "$root/{loader}" --argv0 "$self" --library-path "$root/{libraries}" "$root/usr/bin/python{minor}" "$@"
"""


def ensure_python(suite: str, minor: str, progress: Progress) -> str:
    """Path of an interpreter of version `minor` ("3.13") that runs here; BoardError when the suite has another."""
    return machine_python(minor) or _archive_python(suite, minor, progress)


def machine_python(minor: str, search: str | None = None) -> str | None:
    """This machine's own interpreter of that version, or None; `search` stands for the PATH."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == minor:
        return sys.executable
    candidates = (f"/usr/bin/python{minor}", shutil.which(f"python{minor}", path=search))
    return next((path for path in candidates if path and _runs(path, minor)), None)


def _runs(interpreter: str, minor: str) -> bool:
    command = [interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == minor


def _archive_python(suite: str, minor: str, progress: Progress) -> str:
    architecture = archive.host_architecture()
    place = cache_dir() / f"python{minor}-{suite}-{architecture}-{hashlib.sha256(WRAPPER.encode()).hexdigest()[:8]}"
    if not place.is_dir():
        with locked(cache_dir() / "python-lock", progress), tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
            if not place.is_dir():
                progress(f"no python{minor} on this machine: {suite}'s own compiles for the board")
                ready = Path(scratch) / "ready"
                ready.mkdir()
                archive.unpack(suite, architecture, PACKAGES, ready / "root", progress)
                _wrap(ready, minor)
                ready.rename(place)
    os.utime(place)
    return str(place / "python3")


def _wrap(ready: Path, minor: str) -> None:
    """Write the command that starts the unpacked interpreter, and try it."""
    root, wrapper = ready / "root", ready / "python3"
    shutil.rmtree(root / "usr/share", ignore_errors=True)
    # glibc's own loader beside it: the name under which programs ask for it differs by architecture.
    loader = next(root.glob("usr/lib/*-linux-*/ld-linux*.so.*"), None)
    if loader is None:
        raise BoardError("the unpacked interpreter has no dynamic loader")
    where = loader.relative_to(root)
    wrapper.write_text(WRAPPER.format(loader=where, libraries=where.parent, minor=minor), encoding="utf-8")
    wrapper.chmod(0o755)
    if not _runs(str(wrapper), minor):
        raise BoardError(f"the unpacked python{minor} does not start on this machine")
