"""Owns reading and writing the small files of /proc, /sys and /run, with errors that name path and errno.

Light on purpose (the resident guard imports it): paths may be text or path objects, pathlib itself is loaded
only by the two functions that make a ``Roots``.
"""

from __future__ import annotations

import errno as errno_names
import os

from lmkd.errors import KernelInterfaceError
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    AnyPath = str | os.PathLike[str]

_CHUNK_BYTES = 65536
_UNFINISHED = ".new"
_LIMIT_BYTES = 16 * 1024 * 1024
_ABSENT = (errno_names.ENOENT, errno_names.ENOTDIR, errno_names.ENODEV, errno_names.ENXIO)


@value
class Roots:
    """Where the kernel's and lmkd's own trees are; a test gives a fake tree."""

    proc: Path
    sys: Path
    dev: Path
    run: Path
    etc: Path
    lib: Path
    state: Path


def roots_under(base: AnyPath) -> Roots:
    """The trees below ``base`` (a fixture, a mounted image); ``run``, ``etc`` and ``state`` are lmkd's own folders."""
    from pathlib import Path

    top = Path(base)
    return Roots(
        proc=top / "proc",
        sys=top / "sys",
        dev=top / "dev",
        run=top / "run" / "lmkd",
        etc=top / "etc" / "lmkd",
        lib=top / "lib",
        state=top / "var" / "lib" / "lmkd",
    )


def system_roots() -> Roots:
    """The trees of the running system (/proc, /sys, /dev, /run/lmkd, /etc/lmkd, /lib, /var/lib/lmkd)."""
    return roots_under("/")


def errno_text(error: OSError) -> str:
    """``No such file or directory (ENOENT)``: what a person reads and what a program greps for."""
    number = error.errno
    if number is None:
        return str(error)
    return f"{os.strerror(number)} ({errno_names.errorcode.get(number, number)})"


def errno_of(error: BaseException) -> int | None:
    """The errno behind an error of this module; None where no system call failed."""
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None


def read_bytes(path: AnyPath) -> bytes:
    """The whole content of a small kernel file.

    Raises KernelInterfaceError with path and errno; also for more than 16 MiB, which no kernel file has.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _read_all(descriptor, path)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KernelInterfaceError(f"{os.fspath(path)}: cannot read: {errno_text(error)}") from error


def _read_all(descriptor: int, path: AnyPath) -> bytes:
    parts = []
    total_bytes = 0
    while part := os.read(descriptor, _CHUNK_BYTES):
        parts.append(part)
        total_bytes += len(part)
        if total_bytes > _LIMIT_BYTES:
            raise KernelInterfaceError(
                f"{os.fspath(path)}: more than {_LIMIT_BYTES} bytes: not a kernel file"
            )
    return b"".join(parts)


def read_text(path: AnyPath) -> str:
    """As ``read_bytes``, decoded; bytes that are not UTF-8 (names of processes) survive as surrogates."""
    return read_bytes(path).decode("utf-8", "surrogateescape")


def read_text_or_none(path: AnyPath) -> str | None:
    """As ``read_text``, but None when the file does not exist. Other failures (EACCES, EIO) stay errors."""
    try:
        return read_text(path)
    except KernelInterfaceError as error:
        if errno_of(error) in _ABSENT:
            return None
        raise


def read_int(path: AnyPath) -> int:
    """The one decimal number in a kernel file; KernelInterfaceError when it is missing or not a number."""
    return parse_int(read_text(path), os.fspath(path))


def parse_int(text: str, where: str) -> int:
    """A decimal number of ASCII digits, sign allowed; KernelInterfaceError naming ``where`` otherwise."""
    stripped = text.strip()
    # 2**64 has 20 digits; int() of a megabyte of digits would take minutes.
    digits = stripped[1:] if stripped[:1] in ("-", "+") else stripped
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise KernelInterfaceError(f"{where}: a number was expected, not {stripped[:40]!r}")
    return int(stripped)


def write_text(path: AnyPath, text: str) -> None:
    """Write a kernel file that exists, in one write(2) as sysfs needs; KernelInterfaceError otherwise."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            written = os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KernelInterfaceError(
            f"{os.fspath(path)}: cannot write {text.strip()[:60]!r}: {errno_text(error)}"
        ) from error
    if written != len(data):
        raise KernelInterfaceError(f"{os.fspath(path)}: only {written} of {len(data)} bytes were taken")


def write_atomic(path: AnyPath, text: str) -> None:
    """Replace a file of lmkd's own by a new content, whole or not at all, also across a crash (mode 0644)."""
    target = os.fspath(path)
    temporary = f"{target}.{os.getpid()}{_UNFINISHED}"
    try:
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        with open(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8", "surrogateescape"))
            stream.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    except OSError as error:
        raise KernelInterfaceError(f"{target}: cannot write: {errno_text(error)}") from error


def remove_unfinished(folder: AnyPath, proc: AnyPath) -> None:
    """Remove what ``write_atomic`` of processes that are dead left in the folder. OSError as it comes."""
    for name in os.listdir(folder):
        pid = name.removesuffix(_UNFINISHED).rpartition(".")[2]
        if name.endswith(_UNFINISHED) and pid.isdigit() and not os.path.exists(os.path.join(proc, pid)):
            os.unlink(os.path.join(folder, name))
