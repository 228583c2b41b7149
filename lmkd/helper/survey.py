"""Memory in files for a person: every tmpfs, its largest files, who holds them. Made when asked, by nobody resident."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmkd.helper.holders import Found, Holders, gain_of
from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once
from lmkd.plan import TmpfsRule

FILES_SHOWN = 20
HOLDERS_SHOWN = 20
NAME_CHARS = 200
LOOK_MS = 5000.0
"""A person waits longer than a kill."""


def survey(
    proc: str, pids: Iterable[int], names: Mapping[int, str], rules: Sequence[TmpfsRule], store_share: float
) -> dict[str, Any]:
    """What ``lmkd explain tmpfs`` shows: ``mounts``, ``files`` (largest first), ``holders`` (by what they return).

    ``gain_kib`` is what the death of this one process returns; ``complete`` is false when somebody was left out.
    """
    found = Holders(proc, LOOK_MS).look(pids)
    allowed = {rule.mount: rule for rule in rules}
    files = sorted(found.files, key=lambda file: -file.kib)
    mounts = [
        {
            "path": mount.path, "used_kib": mount.used_kib, "size_kib": mount.size_kib,
            **_rule(allowed.get(mount.path) if mount.ours else None),
        }
        for mount in sorted(found.mounts, key=lambda mount: -(mount.used_kib or 0))
    ]  # fmt: skip
    return {
        "shmem_kib": find_number(read_once(f"{proc}/meminfo") or b"", b"Shmem:"),
        "swapped_share": round(found.swapped_share, 2),
        "complete": found.complete,
        "mounts": mounts,
        "files": [
            {
                "name": file.name[:NAME_CHARS].encode("utf-8", "replace").decode(), "kind": file.kind, "kib": file.kib,
                "ends_with_holders": file.ends, "pids": sorted(file.pids)[:HOLDERS_SHOWN],
            }
            for file in files[:FILES_SHOWN]
        ],
        "holders": _holders(found, names, store_share),
        "not_mounted": sorted(set(allowed) - {mount.path for mount in found.mounts if mount.ours}),
    }  # fmt: skip


def _rule(rule: TmpfsRule | None) -> dict[str, Any]:
    if rule is None:
        return {"limit_kib": None, "delete": [], "tell": None}
    return {"limit_kib": rule.limit_kib or None, "delete": list(rule.delete), "tell": rule.tell or None}


def _holders(found: Found, names: Mapping[int, str], store_share: float) -> list[dict[str, Any]]:
    held: dict[int, int] = {}
    for file in found.files:
        for pid in file.pids:
            held[pid] = held.get(pid, 0) + file.kib
    rows: list[dict[str, Any]] = [
        {"pid": pid, "name": names.get(pid), "held_kib": kib, "gain_kib": gain_of(found, {pid}, store_share)}
        for pid, kib in held.items()
    ]
    return sorted(rows, key=lambda row: (-row["gain_kib"], -row["held_kib"], row["pid"]))[:HOLDERS_SHOWN]
