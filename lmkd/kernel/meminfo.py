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

    if not data.endswith(b"\n"):
        raise KernelInterfaceError(f"/proc/meminfo: cut off after {len(data)} bytes")
    # Without CONFIG_CMA there are no such lines, and no CMA to leave out.
    cma_free = need(b"CmaFree:") if find_number(data, b"CmaTotal:") is not None else 0
    active, inactive = find_number(data, b"Active(anon):"), find_number(data, b"Inactive(anon):")
    shmem = need(b"Shmem:")
    lists = need(b"AnonPages:") + shmem if active is None or inactive is None else active + inactive
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
