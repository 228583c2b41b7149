"""Owns the cache of what boards are made from: where it is, one builder at a time, what nobody uses any more."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .packages import Progress

UNUSED_S = 7 * 86400


def cache_dir() -> Path:
    """Where bases are kept between runs."""
    own = os.environ.get("LMKD_BOARD_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lmkd-board"


def forget_old(cache: Path) -> None:
    """Remove what no run has used for a week: each edit of a source leaves a site behind."""
    for path in cache.iterdir():
        with suppress(FileNotFoundError):  # another run tidies too
            if path.name.endswith("lock") or time.time() - path.stat().st_mtime < UNUSED_S:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


@contextmanager
def locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the cache's lock; another run that builds is waited for."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another run is building; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
