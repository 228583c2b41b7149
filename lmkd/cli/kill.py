"""``lmkd kill``: end one process as lmkd itself would, after a person has seen what it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from lmkd.cli import target
from lmkd.cli.render import add_socket_option
from lmkd.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, LmkdError
from lmkd.log import format_priority, format_value
from lmkd.units import format_kib

if TYPE_CHECKING:
    from lmkd.cli.follow_up import FollowUp
    from lmkd.control.client import ControlClient

WAIT_S = 10.0
OUTCOMES = ("receipt", "refusal")


class NotConfirmedError(LmkdError):
    """Nobody could be asked, and --yes was not given."""

    exit_code = EXIT_USAGE


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd kill``."""
    parser = subparsers.add_parser(
        "kill",
        help="end a process as lmkd would, after asking",
        description="End one process as lmkd itself would: with its grace, its group and its hook, and with a record. "
        "Shows what it is and what its death would return, and asks. A name that means several is refused.",
        epilog="Example: `lmkd kill --yes indexer`",
    )
    parser.add_argument("process", metavar=target.METAVAR, help=target.HELP)
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for what comes of it")
    add_socket_option(parser)


def run(args: argparse.Namespace) -> int:
    """Show, ask, end, and tell what came of it."""
    return kill(args, sys.stdin, sys.stdout)


def kill(args: argparse.Namespace, stdin: TextIO, stdout: TextIO) -> int:
    """As ``run``, with these streams. Exit code 1: it was refused, or the person said no."""
    from lmkd.cli.follow_up import FollowUp
    from lmkd.control.client import ControlClient

    with ControlClient(args.socket) as client:
        row = target.one_meant(client, args.process)
        print("\n".join(told(row, target.namesakes(client, row))), file=stdout)
        if not args.yes:
            if not _confirmed(row, stdin, stdout):
                print("nothing was done", file=stdout)
                return EXIT_FAILED
            _still_the_same(client, row)
        with FollowUp(args.socket) as records:
            client.kill(int(row["pid"]))
            return EXIT_OK if args.no_wait else _tell(records, row, stdout)


def told(row: Mapping[str, Any], others: list[dict[str, Any]]) -> list[str]:
    """What a person should know before he says yes."""
    name = row.get("rule_name")
    rule = format_value(row.get("rule")) if name is None else f'rule "{format_value(name)}"'
    gain = row.get("gain_kib")
    lines = [
        f"{target.title(row)}: priority {format_priority(row.get('priority'))}, by {rule}",
        f"its death would return {format_kib(gain) if isinstance(gain, int) else 'an unknown amount'}",
    ]
    group = {"tree": "with it would end all that it has started", "cgroup": "with it would end its whole cgroup"}
    if row.get("group") in group:
        lines.append(group[str(row["group"])])
    if row.get("order") is None:
        lines.append("it is protected: lmkd itself would never end it")
    if others:
        pids = ", ".join(format_value(other.get("pid")) for other in others[:8])
        many = f"{len(others)} more {'has' if len(others) == 1 else 'have'}"
        lines.append(f"{many} the same name and would go on: {pids}{' ...' if len(others) > 8 else ''}")
    return lines


def _confirmed(row: Mapping[str, Any], stdin: TextIO, stdout: TextIO) -> bool:
    if not stdin.isatty():
        raise NotConfirmedError("there is nobody to ask here: say --yes to end it")
    print(f"End {target.title(row)}? [y/N] ", end="", file=stdout, flush=True)
    return stdin.readline().strip().lower() in ("y", "yes")


def _still_the_same(client: ControlClient, row: Mapping[str, Any]) -> None:
    """A person takes his time: the process id may be another's by now."""
    now = target.all_meant(client, str(row["pid"]))[0]
    if (now.get("name"), now.get("rule")) != (row.get("name"), row.get("rule")):
        raise LmkdError(f"the process id {row['pid']} is {target.title(now)}'s now: nothing was done")


def _tell(records: FollowUp, row: Mapping[str, Any], stdout: TextIO) -> int:
    from lmkd.cli.watch_words import words

    pid = row["pid"]
    record = records.first(lambda one: one.get("event") in OUTCOMES and one.get("pid") == pid, WAIT_S)
    if record is None:
        print(f"asked; nothing is recorded of it within {WAIT_S:.0f} s, see lmkd events", file=stdout)
        return EXIT_FAILED
    print(words(record)[0], file=stdout)
    return EXIT_OK if record.get("outcome") == "dead" else EXIT_FAILED
