"""Owns the kernel's tunables: those in /proc/sys/vm, and MGLRU's two, which are tunables in all but place.

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
LRU_GEN = "lru_gen.enabled"
_LRU_GEN_FILES = ((MIN_TTL, "min_ttl_ms"), (LRU_GEN, "enabled"))
SWAPPINESS = "vm.swappiness"
SWAPPINESS_MAX_BEFORE_5_8 = 100


def path_of(roots: Roots, name: str) -> Path:
    """The file behind a tunable's name: ``vm.*``, ``lru_gen.min_ttl_ms`` or ``lru_gen.enabled``.

    Raises KernelInterfaceError for any other name, so that a hostile record cannot point elsewhere.
    """
    lru_gen = dict(_LRU_GEN_FILES).get(name)
    if lru_gen is not None:
        return roots.sys / "kernel" / "mm" / "lru_gen" / lru_gen
    area, _, key = name.partition(".")
    if (
        area != "vm"
        or not key
        or not all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in key)
    ):
        raise KernelInterfaceError(f"sysctl {name[:60]!r}: lmkd knows vm.NAME, {MIN_TTL} and {LRU_GEN} only")
    return roots.proc / "sys" / "vm" / key


def read(roots: Roots, name: str) -> int | None:
    """The value of a tunable; None when this kernel does not have it."""
    path = path_of(roots, name)
    text = read_text_or_none(path)
    if text is None:
        return None
    # lru_gen/enabled is a bit mask that the kernel shows as 0x0007 and takes as any number.
    return int(text, 16) if _is_mask(text) else parse_int(text, str(path))


def write(roots: Roots, name: str, number: int) -> int:
    """Set a tunable; what was set.

    Swappiness above 100 becomes 100 where the kernel is older than 5.8; of MGLRU's mask what this processor has.
    """
    try:
        write_text(path_of(roots, name), str(number))
    except KernelInterfaceError as error:
        too_high = name == SWAPPINESS and number > SWAPPINESS_MAX_BEFORE_5_8
        if not (too_high and errno_of(error) == errno.EINVAL):
            raise
        write_text(path_of(roots, name), str(SWAPPINESS_MAX_BEFORE_5_8))
        return SWAPPINESS_MAX_BEFORE_5_8
    if name == LRU_GEN:
        return read(roots, name) or 0
    return number


def may_be(name: str, asked: int, now: int) -> bool:
    """Whether ``now`` can be what ``write`` has made of ``asked``."""
    if name == LRU_GEN:
        return now | asked == asked
    return now == asked or (name == SWAPPINESS and now == min(asked, SWAPPINESS_MAX_BEFORE_5_8))


def _is_mask(text: str) -> bool:
    digits = text.strip().removeprefix("0x")
    return len(digits) == 4 and text.startswith("0x") and all(digit in "0123456789abcdef" for digit in digits)
