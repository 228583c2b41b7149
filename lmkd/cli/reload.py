"""``lmkd reload``: have the configuration read again, and say what came of it."""

from __future__ import annotations

import argparse

from lmkd.cli.render import add_socket_option
from lmkd.errors import EXIT_OK, ConfigError, LmkdError

WAIT_S = 30.0
"""A planner has to start: seconds on a slow core."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd reload``."""
    parser = subparsers.add_parser(
        "reload",
        help="have the configuration read again",
        description="Have the running lmkd read its configuration again, as on SIGHUP. A bad file changes nothing: "
        "its errors are printed, and the exit code is 2.",
    )
    parser.add_argument("--no-wait", action="store_true", help="do not wait for what comes of it")
    add_socket_option(parser)


def run(args: argparse.Namespace) -> int:
    """Ask, and wait for the record; ConfigError (exit 2) when lmkd kept what it had."""
    from lmkd.cli.follow_up import FollowUp
    from lmkd.cli.watch_words import words
    from lmkd.control.client import ControlClient

    with ControlClient(args.socket) as client, FollowUp(args.socket) as records:
        client.reload()
        if args.no_wait:
            return EXIT_OK
        record = records.first(lambda one: one.get("event") in ("reload", "reload_failed"), WAIT_S)
    if record is None:
        raise LmkdError(f"asked; lmkd has not said within {WAIT_S:.0f} s that it has read it, see lmkd events")
    if record.get("event") == "reload_failed":
        raise ConfigError(tuple(str(record.get("reason", "refused")).splitlines()) or ("refused",))
    print(words(record)[0])
    return EXIT_OK
