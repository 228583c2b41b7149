"""``lmkd run``: reads its options and hands over to the planner."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd run``."""
    parser = subparsers.add_parser(
        "run",
        help="guard the memory of this board",
        description="Check the configuration, bring up the compressed store, and guard the memory of this "
        "board. Stops on SIGTERM, reads its configuration again on SIGHUP.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="read this file and not /etc/lmkd; may be given several times, later ones win",
    )
    parser.add_argument("--dry-run", action="store_true", help="decide everything, touch nothing")
    parser.add_argument(
        "--ready-fd",
        metavar="FD",
        type=_open_descriptor,
        default=-1,
        help="write a line to this descriptor when the guard is ready, as s6, dinit and OpenRC can wait for",
    )
    # How the running guard has its configuration read again; nobody types this.
    parser.add_argument("--plan-to", type=int, metavar="FD", help=argparse.SUPPRESS)


def _open_descriptor(text: str) -> int:
    try:
        os.fstat(int(text))
    except (OSError, ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text} is not an open descriptor") from error
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Start the service; does not return where it could, since the planner becomes the guard."""
    from lmkd import planner

    return planner.run(tuple(args.config), args.dry_run, args.plan_to, args.ready_fd)
