"""``lmkd events``: what lmkd did and why, for people or as JSON lines."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lmkd.cli.render import add_socket_option, use_colour
from lmkd.errors import EXIT_OK, ControlError

if TYPE_CHECKING:
    from lmkd.control.client import ControlClient

GONE_S, AGAIN_S = 5.0, 0.2
"""How long a follower looks for an lmkd that has ended its connection, as a restart does; and how often."""


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
    """Print the events; with --follow until lmkd has gone for good or the person has seen enough."""
    told = followed(args.socket, args.since) if args.follow else _asked(args.socket, args.since)
    if args.json:
        for event in told:
            print(json.dumps(event), flush=args.follow)
        return EXIT_OK
    from lmkd.log import event_printer

    show = event_printer(sys.stdout, use_colour(sys.stdout))
    for event in told:
        show(event)
    return EXIT_OK


def _asked(path: str, since: int) -> Iterator[dict[str, Any]]:
    from lmkd.control.client import ControlClient

    with ControlClient(path) as client:
        yield from client.events(since)


def followed(path: str, since: int, gone_s: float = GONE_S) -> Iterator[dict[str, Any]]:
    """The events as they come, each once, also over restarts. ControlError: no lmkd for ``gone_s``."""
    from lmkd.control.client import ControlClient

    client, started = ControlClient(path), None
    while True:
        try:
            with client:
                born = client.status().get("started_ms")
                since = since if started in (None, born) else 0  # another lmkd numbers its records anew
                started = born
                for event in client.events(since, follow=True):
                    yield event
                    since = max(since, event["seq"] + 1) if type(event.get("seq")) is int else since
        except ControlError as error:
            client = _again(path, error, gone_s)


def _again(path: str, error: ControlError, gone_s: float) -> ControlClient:
    """A new connection; ``error`` again when there is none in time."""
    from lmkd.control.client import ControlClient

    deadline_s = time.monotonic() + gone_s
    while True:
        time.sleep(AGAIN_S)
        try:
            client = ControlClient(path)
            client.status()
            return client
        except ControlError:
            if time.monotonic() >= deadline_s:
                raise error from None
