"""``lmkd metrics``: what the running lmkd sees and has done, as OpenMetrics text."""

from __future__ import annotations

import argparse

from lmkd.cli.render import add_socket_option
from lmkd.errors import EXIT_OK


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd metrics``."""
    parser = subparsers.add_parser(
        "metrics",
        help="the running lmkd's figures as OpenMetrics text",
        description="Print what the running lmkd sees and has done as OpenMetrics text, for a collector. "
        "The names are documented in docs/metrics.md.",
    )
    parser.add_argument(
        "--output", metavar="FILE", default="", help="write a whole new FILE, for node_exporter's textfile collector"
    )
    add_socket_option(parser)


def run(args: argparse.Namespace) -> int:
    """Ask once and print, or write the file: its collector reads an older form of the text."""
    from lmkd.control.client import ControlClient

    with ControlClient(args.socket) as client:
        if not args.output:
            print(client.metrics(), end="")
            return EXIT_OK
        from lmkd.cli.output import write_whole
        from lmkd.control.metrics import prometheus_text

        write_whole(args.output, prometheus_text(client.status(), tuple(client.events())))
    return EXIT_OK
