"""A file written as a whole: who reads it meanwhile has the old one or the new one, never a part."""

from __future__ import annotations

import os


def write_whole(path: str, text: str) -> None:
    """Replace ``path`` by a file with this text, which anybody may read. OSError: the old one is as it was.

    It is made beside it under a name that begins with a dot and does not end as the other's: collectors that read a
    folder pass it over.
    """
    folder, name = os.path.split(path)
    fresh = os.path.join(folder, f".{name}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(fresh, flags, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            os.fchmod(descriptor, 0o644)
            file.write(text)
        os.replace(fresh, path)
    except BaseException:
        _remove(fresh)
        raise


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
