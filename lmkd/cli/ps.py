"""``lmkd ps``: every process in the order in which it would be killed, from the daemon or worked out here."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkd.cli.render import add_socket_option, table, use_colour
from lmkd.errors import EXIT_OK, ControlError
from lmkd.log import format_priority, format_value
from lmkd.model import PRIORITY_NEVER
from lmkd.units import format_kib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmkd.kernel.files import Roots

HEADINGS = ("ORDER", "PID", "NAME", "PRIORITY", "RULE", "RESIDENT", "SWAPPED", "GAIN")
RIGHT = (0, 1, 5, 6, 7)
NEVER = "never"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd ps``."""
    parser = subparsers.add_parser(
        "ps",
        help="every process in the order in which it would be killed",
        description="Show every process in the order in which it would be killed, and the rule that put it "
        "there. Without a running lmkd the order is worked out from /proc and the configuration.",
    )
    parser.add_argument("--json", action="store_true", help="print the rows as a JSON list")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, action="append", default=[],
        help="do not ask the running lmkd: show the order that this configuration would give",
    )
    add_socket_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the order; a line on stderr says where it is from when no lmkd is running."""
    rows = collect(args.socket, args.config)
    if args.json:
        print(json.dumps(numbered(rows), indent=2))
        return EXIT_OK
    print("\n".join(ps_lines(rows, use_colour(sys.stdout))))
    return EXIT_OK


def collect(
    socket_path: str, config_paths: Sequence[Path], roots: Roots | None = None
) -> list[dict[str, Any]]:
    """The rows of the running lmkd; without one, or for files to be tried, those of a scan of /proc."""
    from lmkd.control.client import ControlClient

    if not config_paths:
        try:
            with ControlClient(socket_path) as client:
                return list(client.candidates())
        except ControlError as error:
            print(f"lmkd: {error}; this is the order by the configuration", file=sys.stderr)
    from lmkd import config
    from lmkd.cli import scan
    from lmkd.kernel.files import system_roots

    roots = roots or system_roots()
    loaded = config.load(config_paths) if config_paths else config.load_default(roots.etc)
    return scan.kill_order(
        scan.read_processes(roots.proc), config.rule_table(loaded), scan.stored_share(roots), scan.allowances(loaded)
    )


def numbered(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their ``order`` (from 1; None: never), those that are never killed at the end."""
    rows = list(rows)
    doomed = [row for row in rows if not is_never(row)]
    kept = [row for row in rows if is_never(row)]
    return [
        *({**row, "order": place} for place, row in enumerate(doomed, start=1)),
        *({**row, "order": None} for row in kept),
    ]


def is_never(row: Mapping[str, Any]) -> bool:
    """Whether this row's process is protected."""
    priority = row.get("priority")
    return bool(row.get("never")) or (isinstance(priority, int) and priority <= PRIORITY_NEVER)


def ps_lines(rows: Iterable[Mapping[str, Any]], colour: bool) -> list[str]:
    """The table for a person."""
    return table(HEADINGS, (cells(row) for row in numbered(rows)), RIGHT, colour)


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row that has its ``order`` as the texts below ``HEADINGS``."""
    return (
        NEVER if row["order"] is None else str(row["order"]),
        *(format_value(row.get(key)) for key in ("pid", "name")),
        format_priority(row.get("priority")),
        format_value(row.get("rule")),
        *(_size(row.get(key)) for key in ("resident_kib", "swapped_kib", "gain_kib")),
    )


def _size(size_kib: object) -> str:
    return format_kib(size_kib) if isinstance(size_kib, int) else "unknown"
