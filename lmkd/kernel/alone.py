"""Owns the lock of the one lmkd that guards a board: two would each end somebody for the same lack of memory."""

from __future__ import annotations

import contextlib
import os

from lmkd.errors import LmkdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_PID_BYTES = 20
LOCK = "guard.lock"


def claim(run: Path) -> int:
    """Be the one, until this process ends, whatever it becomes by exec; the descriptor is to be kept open.

    By a record lock, which no child inherits: of a guard that died, the helper and hooks may live on for a while.
    -1 where there can be no lock: a board is not left alone for that. LmkdError when another one has it.
    """
    import fcntl

    path = run / LOCK
    try:
        os.makedirs(run, mode=0o755, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return -1
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        holder = os.pread(descriptor, _PID_BYTES, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise LmkdError(f"another lmkd guards this board: process {holder or 'unknown'} has locked {path}") from error
    except OSError:
        os.close(descriptor)
        return -1
    os.set_inheritable(descriptor, True)
    with contextlib.suppress(OSError):  # no room: who it is stays unknown
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor


def is_guarded(run: Path) -> bool:
    """Does another lmkd guard this board? Its sockets are its own then. False where that cannot be told."""
    import fcntl

    try:
        descriptor = os.open(run / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)  # and the lock with it
    return False
