"""The options of the live view: apart from it, because a plain ``lmkd status`` needs nothing else of it."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what belongs to ``--watch``."""
    parser.add_argument("--watch", "-w", action="store_true", help="a live view; q ends it")
    parser.add_argument(
        "--interval", metavar="TIME", type=interval_s, default=1.0,
        help="with --watch: how often it is refreshed, such as 2s or 500ms (1s)",
    )  # fmt: skip
    parser.add_argument("--count", metavar="N", type=count, default=0, help="with --watch: end after N pictures")
    parser.add_argument("--plain", action="store_true", help="with --watch: no frames, also where rich is installed")


def interval_s(text: str) -> float:
    """Seconds of an interval with a unit, or of a plain number; argparse reports the error."""
    from lmkd.units import parse_duration_ms

    try:
        ms = parse_duration_ms(f"{text}s" if text.replace(".", "", 1).isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not 100 <= ms <= 3_600_000:
        raise argparse.ArgumentTypeError(f"{text}: 100ms to 1h is meant")
    return ms / 1000


def count(text: str) -> int:
    """How many pictures; argparse reports the error."""
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: a number from 1 on is meant")
    return int(text)
