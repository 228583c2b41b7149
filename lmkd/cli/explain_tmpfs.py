"""Memory in files for a person: where it is, who holds it, and what would give it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmkd.cli.render import table, wrapped
from lmkd.errors import ControlError
from lmkd.log import format_value
from lmkd.units import format_kib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmkd.kernel.files import Roots

MOUNT_HEADINGS = ("TMPFS", "USED", "OF", "LIMIT", "TELLS", "MAY DELETE")
FILE_HEADINGS = ("FILE", "KIND", "SIZE", "HELD BY")
HOLDER_HEADINGS = ("PID", "NAME", "HOLDS", "DEATH RETURNS")
PIDS_SHOWN = 5


def survey(socket_path: str, roots: Roots) -> dict[str, Any]:
    """From the running lmkd; without one, looked at here, as far as we may."""
    import sys

    from lmkd.control.client import ControlClient

    try:
        with ControlClient(socket_path) as client:
            return client.tmpfs()
    except ControlError as error:
        print(f"lmkd: {error}; this is what can be seen from here", file=sys.stderr)
    from lmkd.helper import survey as surveys
    from lmkd.kernel.process import list_pids, read_stat

    proc = str(roots.proc)
    stats = {pid: read_stat(proc, pid) for pid in list_pids(proc)}
    names = {pid: stat.comm for pid, stat in stats.items() if stat is not None and not stat.kernel_thread}
    return surveys.survey(proc, names, names, (), 1.0)


def tmpfs_lines(seen: Mapping[str, Any], colour: bool, width: int) -> list[str]:
    """Three tables: the mounts, the largest files, their holders; then what has to be said of them."""
    lines = table(MOUNT_HEADINGS, (_mount(row) for row in seen.get("mounts", ())), (1, 2, 3), colour)
    if seen.get("files"):
        lines += ["", *table(FILE_HEADINGS, (_file(row) for row in seen["files"]), (2,), colour)]
    if seen.get("holders"):
        lines += ["", *table(HOLDER_HEADINGS, (_holder(row) for row in seen["holders"]), (0, 2, 3), colour)]
    share = seen.get("swapped_share")
    said = [f"{format_kib(seen['shmem_kib'])} of all this is resident."] if seen.get("shmem_kib") is not None else []
    if isinstance(share, float) and share > 0:
        said.append(f"About {round(100 * share)}% of it lies in the store or is held where it was not seen.")
    if not seen.get("complete", True):
        said.append("Not every process could be looked at, so it is not known what a death would return.")
    said += [f"There is no tmpfs at {path}, which the configuration names." for path in seen.get("not_mounted", ())]
    return [*lines, *(["", *wrapped(" ".join(said), width)] if said else [])]


def _mount(row: Mapping[str, Any]) -> tuple[str, ...]:
    sizes = (_size(row.get(key)) for key in ("used_kib", "size_kib", "limit_kib"))
    return (format_value(row.get("path")), *sizes, str(row.get("tell") or "-"), " ".join(row.get("delete") or ["-"]))


def _file(row: Mapping[str, Any]) -> tuple[str, ...]:
    pids = list(row.get("pids", ()))
    more = f" and {len(pids) - PIDS_SHOWN} more" if len(pids) > PIDS_SHOWN else ""
    shown = ", ".join(str(pid) for pid in pids[:PIDS_SHOWN]) + more
    return format_value(row.get("name")), format_value(row.get("kind")), _size(row.get("kib")), shown


def _holder(row: Mapping[str, Any]) -> tuple[str, ...]:
    texts = (format_value(row.get("pid")), format_value(row.get("name")))
    return *texts, _size(row.get("held_kib")), _size(row.get("gain_kib"))


def _size(kib: object) -> str:
    return format_kib(kib) if isinstance(kib, int) else "-"
