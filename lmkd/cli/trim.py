"""``lmkd trim``: have idle memory paged out now."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from lmkd.cli import target
from lmkd.cli.render import add_socket_option
from lmkd.errors import EXIT_OK

if TYPE_CHECKING:
    from lmkd.cli.follow_up import FollowUp

WAIT_S = 5.0
"""A trim is recorded process by process; after so long without one nothing more is waited for."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd trim``."""
    parser = subparsers.add_parser(
        "trim",
        help="have idle memory paged out to the store now",
        description="Have idle memory paged out to the store now: of one process, or of all idle applications that "
        "allow it. Shows what came of it.",
        epilog="Example: `lmkd trim --size 16M`",
    )
    parser.add_argument("process", metavar=target.METAVAR, nargs="?", help=target.HELP)
    parser.add_argument("--size", metavar="SIZE", type=size_kib, help="stop when so much has gone, such as 16M")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for what comes of it")
    add_socket_option(parser)


def size_kib(text: str) -> int:
    """KiB of a size with its unit; argparse reports the error."""
    from lmkd.units import parse_size_kib

    try:
        found = parse_size_kib(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if found <= 0:
        raise argparse.ArgumentTypeError(f"{text}: a size from 1K on is meant")
    return found


def run(args: argparse.Namespace) -> int:
    """Ask, and tell what was recorded meanwhile."""
    from lmkd.cli.follow_up import FollowUp
    from lmkd.control.client import ControlClient

    with ControlClient(args.socket) as client:
        row = target.one_meant(client, args.process) if args.process is not None else None
        pid = None if row is None else int(row["pid"])
        with FollowUp(args.socket) as records:
            client.trim(pid, args.size or 0)
            print(f"asked to page out idle memory of {'all that allow it' if row is None else target.title(row)}")
            if not args.no_wait:
                _tell(records, pid, args.size)
    return EXIT_OK


def _tell(records: FollowUp, pid: int | None, wanted_kib: int | None) -> None:
    from lmkd.cli.watch_words import words
    from lmkd.log import is_number
    from lmkd.units import format_kib

    stored = 0
    deadline_s = time.monotonic() + WAIT_S
    while (left_s := deadline_s - time.monotonic()) > 0:
        record = records.first(lambda one: one.get("event") == "trim" and pid in (None, one.get("pid")), left_s)
        if record is None:
            break
        print(words(record)[0])
        went = record.get("stored_kib")
        stored += round(went) if is_number(went) else 0
        if pid is not None or (wanted_kib is not None and stored >= wanted_kib):
            return
        deadline_s = time.monotonic() + WAIT_S / 5
    print(f"{format_kib(stored)} went to the store" if stored else "nothing went to the store: nobody was idle")
