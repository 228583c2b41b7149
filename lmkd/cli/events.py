"""``lmkd events``: what lmkd did and why, for people or as JSON lines."""

from __future__ import annotations

import argparse
import json
import sys

from lmkd.cli.render import add_socket_option, use_colour
from lmkd.errors import EXIT_OK


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd events``."""
    parser = subparsers.add_parser(
        "events",
        help="what lmkd did and why",
        description="Print what the running lmkd did and why, oldest first.",
    )
    parser.add_argument("--follow", "-f", action="store_true", help="go on with what happens next")
    parser.add_argument("--json", action="store_true", help="print the records as JSON, one line each")
    parser.add_argument("--since", metavar="N", type=sequence_number, default=0, help="from number N on")
    add_socket_option(parser)


def sequence_number(text: str) -> int:
    """A sequence number of the command line, from 0 on; argparse reports the error."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise argparse.ArgumentTypeError(f"{text!r}: a sequence number from 0 on is meant")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Print the events; with --follow until the daemon ends or the person has seen enough."""
    from lmkd.control.client import ControlClient

    with ControlClient(args.socket) as client:
        if args.json:
            for event in client.events(args.since, args.follow):
                print(json.dumps(event), flush=args.follow)
            return EXIT_OK
        from lmkd.log import event_printer

        show = event_printer(sys.stdout, use_colour(sys.stdout))
        for event in client.events(args.since, args.follow):
            show(event)
    return EXIT_OK
