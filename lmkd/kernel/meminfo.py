"""/proc/meminfo as one value (Documentation/filesystems/proc.rst), KiB."""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.counters import find_number
from lmkd.values import value


@value
class Meminfo:
    """What the policy needs of /proc/meminfo, in KiB. ``free_kib`` is without CMA: that is for devices."""

    total_kib: int
    free_kib: int
    file_kib: int
    dirty_kib: int
    anon_kib: int
    shmem_kib: int
    swap_total_kib: int
    swap_free_kib: int


def parse_meminfo(data: bytes) -> Meminfo:
    """Bytes of /proc/meminfo to a value. KernelInterfaceError when a line that every kernel has is missing."""

    def need(key: bytes) -> int:
        number = find_number(data, key)
        if number is None:
            raise KernelInterfaceError(
                f"/proc/meminfo: no number after {key.decode()} ({len(data)} bytes read)"
            )
        return number

    cma_free = (
        find_number(data, b"CmaFree:") or 0
    )  # absent without CONFIG_CMA: then there is no CMA to leave out
    active = find_number(data, b"Active(anon):")
    inactive = find_number(data, b"Inactive(anon):")
    shmem = need(b"Shmem:")
    lists = (active or 0) + (inactive or 0) if active is not None else need(b"AnonPages:") + shmem
    file = need(b"Active(file):") + need(b"Inactive(file):")
    return Meminfo(
        need(b"MemTotal:"),
        max(0, need(b"MemFree:") - cma_free),
        file,
        need(b"Dirty:") + need(b"Writeback:"),
        max(0, lists - shmem),
        shmem,
        need(b"SwapTotal:"),
        need(b"SwapFree:"),
    )
