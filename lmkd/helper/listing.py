"""Lists below /run of what has to be undone should the helper die; each is replaced as a whole."""

from __future__ import annotations

import os


def write_list(path: str, lines: list[str]) -> str:
    """A whole new file in the place of the old one, none for no lines; empty, or why it cannot be written."""
    if not lines:
        remove_list(path)
        return ""
    fresh = f"{path}.new"
    try:
        make_folder(path.rpartition("/")[0])
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            data = "".join(lines).encode("utf-8", "surrogateescape")
            if os.write(descriptor, data) != len(data):
                return f"{fresh}: no room"
        finally:
            os.close(descriptor)
        os.rename(fresh, path)
    except OSError as error:
        return f"{fresh}: {error.strerror}"
    return ""


def make_folder(path: str) -> None:
    """A folder and those above it that are missing, readable for all; ``os.makedirs`` would load all of os. OSError."""
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    except FileNotFoundError:
        above = path.rpartition("/")[0]
        if not above:
            raise
        make_folder(above)
        os.mkdir(path, 0o755)


def remove_list(path: str) -> None:
    """One that is not there is fine."""
    try:
        os.unlink(path)
    except OSError:
        return


def numbers(line: bytes) -> list[int]:
    """Those of a line of a list; none where a part of it is no number, or longer than any could be."""
    fields = line.split()
    whole = all(field.removeprefix(b"-").isdigit() and len(field) < 20 for field in fields)
    return [int(field) for field in fields] if whole else []
