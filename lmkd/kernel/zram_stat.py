"""zram's mm_stat for the guard: light enough to stay resident (Documentation/admin-guide/blockdev/zram.rst)."""

from __future__ import annotations

from lmkd.model import StoreSample

COLUMNS_MIN = 4
"""orig_data_size compr_data_size mem_used_total mem_limit come first on every kernel; later columns vary."""
HUGE_COLUMN = 7
"""huge_pages: pages that are kept as they are because they do not compress (Linux 4.18)."""


def parse_mm_stat(data: bytes, page_kib: int = 4) -> StoreSample | None:
    """Bytes of mm_stat to KiB; None when truncated or odd (a device being reset gives nothing)."""
    fields = data.split()
    whole = len(fields) > COLUMNS_MIN or data.endswith(b"\n")
    if not whole or len(fields) < COLUMNS_MIN or not all(field.isdigit() for field in fields[:COLUMNS_MIN]):
        return None
    orig, compressed, used, limit = (int(field) // 1024 for field in fields[:COLUMNS_MIN])
    huge = fields[HUGE_COLUMN] if len(fields) > HUGE_COLUMN and data.endswith(b"\n") else b""
    return StoreSample(orig, compressed, used, limit, int(huge) * page_kib if huge.isdigit() else None)
