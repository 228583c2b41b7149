"""Owns the kernel's tunables: those in /proc/sys/vm, and MGLRU's min_ttl_ms, which is one in all but place.

Source: Documentation/admin-guide/sysctl/vm.rst and Documentation/admin-guide/mm/multigen_lru.rst (Linux
6.12).
"""

from __future__ import annotations

import errno

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import errno_of, parse_int, read_text_or_none, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.kernel.files import Roots

MIN_TTL = "lru_gen.min_ttl_ms"
SWAPPINESS = "vm.swappiness"
SWAPPINESS_MAX_BEFORE_5_8 = 100


def path_of(roots: Roots, name: str) -> Path:
    """The file behind a tunable's name: ``vm.*``, or ``lru_gen.min_ttl_ms``.

    Raises KernelInterfaceError for any other name, so that a hostile record cannot point elsewhere.
    """
    if name == MIN_TTL:
        return roots.sys / "kernel" / "mm" / "lru_gen" / "min_ttl_ms"
    area, _, key = name.partition(".")
    if (
        area != "vm"
        or not key
        or not all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in key)
    ):
        raise KernelInterfaceError(f"sysctl {name[:60]!r}: lmkd knows vm.NAME and {MIN_TTL} only")
    return roots.proc / "sys" / "vm" / key


def read(roots: Roots, name: str) -> int | None:
    """The value of a tunable; None when this kernel does not have it."""
    path = path_of(roots, name)
    text = read_text_or_none(path)
    return None if text is None else parse_int(text, str(path))


def write(roots: Roots, name: str, number: int) -> int:
    """Set a tunable; what was set: swappiness above 100 becomes 100 where the kernel is older than 5.8."""
    try:
        write_text(path_of(roots, name), str(number))
    except KernelInterfaceError as error:
        too_high = name == SWAPPINESS and number > SWAPPINESS_MAX_BEFORE_5_8
        if not (too_high and errno_of(error) == errno.EINVAL):
            raise
        write_text(path_of(roots, name), str(SWAPPINESS_MAX_BEFORE_5_8))
        return SWAPPINESS_MAX_BEFORE_5_8
    return number
