"""``lmkd set`` and ``lmkd clear``: a priority given by hand, and taken back."""

from __future__ import annotations

import argparse

from lmkd.cli import target
from lmkd.cli.render import add_socket_option
from lmkd.errors import EXIT_OK
from lmkd.log import format_priority
from lmkd.model import CLASSES

LOWEST, HIGHEST = -1000, 1000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd set``."""
    parser = subparsers.add_parser(
        "set",
        help="give a process another priority until it ends",
        description="Give a running process another priority until it ends, or until `lmkd clear`. Anyone may make "
        "processes of his own less important (a higher number); the rest is for root and the control group.",
        epilog="Example: `lmkd set indexer cached`",
    )
    _add_target(parser)
    parser.add_argument(
        "priority", metavar="PRIORITY|CLASS", type=priority,
        help=f"a class ({', '.join(name for name, _ in CLASSES)}) or a number from {LOWEST} to {HIGHEST}, "
        "on the scale of oom_score_adj",
    )  # fmt: skip
    add_socket_option(parser)


def add_clear_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd clear``."""
    parser = subparsers.add_parser(
        "clear",
        help="take back a priority that was set",
        description="Take back a priority that was set or registered over the control socket: the rules of the "
        "configuration decide again.",
    )
    _add_target(parser)
    add_socket_option(parser)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("process", metavar=target.METAVAR, help=target.HELP)
    parser.add_argument("--all", action="store_true", help="all that are meant, where a name means several")


def priority(text: str) -> int | str:
    """A class, or a number on the kernel's scale; argparse reports the error."""
    if any(text == name for name, _ in CLASSES):
        return text
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 4 and LOWEST <= int(text) <= HIGHEST:
        return int(text)
    names = ", ".join(name for name, _ in CLASSES)
    raise argparse.ArgumentTypeError(f"{text!r}: a class ({names}) or a number from {LOWEST} to {HIGHEST} is meant")


def run(args: argparse.Namespace) -> int:
    """Set it, or with no ``priority`` among the arguments clear it; LmkdError for nobody, or for several."""
    from lmkd.control.client import ControlClient

    wanted = getattr(args, "priority", None)
    with ControlClient(args.socket) as client:
        meant = target.all_meant(client, args.process) if args.all else [target.one_meant(client, args.process)]
        for row in meant:
            if wanted is None:
                done = client.clear(int(row["pid"]))
                print(f"{target.title(row | done)}: what was set is cleared, the rules decide again")
                continue
            done = client.set_priority(int(row["pid"]), wanted)
            before = f", it was {format_priority(done['previous'])}" if done.get("previous") is not None else ""
            print(f"{target.title(row | done)}: priority {format_priority(done.get('priority'))}{before}")
    return EXIT_OK
