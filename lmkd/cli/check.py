"""``lmkd check``: are these configuration files right, all errors at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from lmkd.errors import EXIT_OK, EXIT_USAGE


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd check``."""
    parser = subparsers.add_parser(
        "check",
        help="check configuration files",
        description="Check configuration files, each on its own and all together in the order given. "
        "Exit 0 when they are right, else 2 and one line an error: FILE:LINE:COLUMN: KEY: what is wrong.",
    )
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+")


def run(args: argparse.Namespace) -> int:
    """Print one line an error, or one line that all is well."""
    from lmkd import config

    errors = config.check(args.files)
    for line in errors:
        print(line)
    if errors:
        return EXIT_USAGE
    print("ok: " + ", ".join(str(file) for file in args.files))
    return EXIT_OK
