"""``lmkd explain``: how a number of the policy came about, or why a process has its place in the kill order."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkd.cli.render import add_socket_option, terminal_width, use_colour
from lmkd.errors import EXIT_OK, ControlError, LmkdError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lmkd.kernel.files import Roots

POLICY = "policy"
TMPFS = "tmpfs"
COMM_BYTES = 15
"""The kernel keeps so much of a process's name."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd explain``."""
    parser = subparsers.add_parser(
        "explain",
        help="how the policy's numbers came about; why a process would die when it would",
        description="`lmkd explain policy` shows every number that lmkd decides by, the rule that it follows from, "
        "and where it was given. `lmkd explain tmpfs` shows who holds memory in files. `lmkd explain PID` or NAME "
        "(with * and ? if need be) shows why a process has its place in the kill order and what would have to happen "
        "for it to die.",
    )
    parser.add_argument("what", metavar="policy|tmpfs|PID|NAME", help="what to explain")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, action="append", default=[],
        help="do not ask the running lmkd: explain what this configuration would give",
    )  # fmt: skip
    add_socket_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the explanation; LmkdError (exit 1) for a process that is not there, ConfigError for a wrong file."""
    from lmkd.kernel.files import system_roots

    if args.what == TMPFS:
        return _run_tmpfs(args, system_roots())
    seen = observe(args.socket, args.config, system_roots(), args.what == POLICY)
    colour, width = use_colour(sys.stdout), terminal_width(sys.stdout)
    if args.what == POLICY:
        from lmkd.cli.explain_policy import policy_lines

        del seen["candidates"]
        print(json.dumps(seen, indent=2) if args.json else "\n".join(policy_lines(seen, colour, width)))
        return EXIT_OK
    from lmkd.cli.explain_process import explain_all, process_lines

    found = explain_all(seen["candidates"], seen, lambda row: is_meant(args.what, row) and not _asks(args.what, row))
    found = found or strangers(args.what, str(system_roots().proc), seen)
    if not found:
        raise LmkdError(f"no process has the id or the name {args.what}; `lmkd ps` lists all that there are")
    print(json.dumps(found, indent=2) if args.json else "\n".join(process_lines(found, colour, width)))
    return EXIT_OK


def _run_tmpfs(args: argparse.Namespace, roots: Roots) -> int:
    from lmkd.cli.explain_tmpfs import survey, tmpfs_lines

    seen = survey(args.socket, roots)
    lines = tmpfs_lines(seen, use_colour(sys.stdout), terminal_width(sys.stdout))
    print(json.dumps(seen, indent=2) if args.json else "\n".join(lines))
    return EXIT_OK


def observe(socket_path: str, config_paths: Sequence[Path], roots: Roots, policy_only: bool) -> dict[str, Any]:
    """What there is to explain: ``source``, ``numbers``, ``candidates`` (not for the policy alone), ``status``.

    From the running lmkd; without one, or for files to be tried, worked out here, and ``status`` is None.
    """
    from lmkd.control.client import ControlClient

    if not config_paths:
        try:
            with ControlClient(socket_path) as client:
                rows = [] if policy_only else list(client.candidates())
                return _seen("lmkd", client.policy(), rows, client.status())
        except ControlError as error:
            print(f"lmkd: {error}; this is by the configuration", file=sys.stderr)
    from lmkd import config
    from lmkd.planner import policy_numbers
    from lmkd.policy.derive import explained

    loaded = config.load(config_paths) if config_paths else config.load_default(roots.etc)
    numbers = explained(policy_numbers(roots, loaded), dict(loaded.given))
    if policy_only:
        return _seen("configuration", numbers, [], None)
    from lmkd.cli import scan

    processes = scan.read_processes(roots.proc)
    rows = scan.kill_order(
        processes, config.rule_table(loaded), scan.stored_share(roots), scan.allowances(loaded)
    )
    return _seen("configuration", numbers, rows, None)


def _seen(
    source: str, numbers: list[dict[str, Any]], rows: list[dict[str, Any]], status: dict[str, Any] | None
) -> dict[str, Any]:
    return {"source": source, "numbers": numbers, "candidates": rows, "status": status}


def is_meant(what: str, row: Mapping[str, Any]) -> bool:
    """Whether ``what`` is this row's process id, its name (cut as the kernel cuts it), or a pattern for the name."""
    from lmkd.matching import glob_match

    if what.isascii() and what.isdigit() and int(what[:COMM_BYTES]) == row.get("pid"):
        return True
    name = row.get("name")
    if not isinstance(name, str) or not name:
        return False
    cut = os.fsencode(what)[:COMM_BYTES].decode("utf-8", "ignore")
    return name in (what, cut) or glob_match(what, name)


def _asks(what: str, row: Mapping[str, Any]) -> bool:
    """Is it this process? It has lmkd's name, and is gone before anybody has read of it."""
    return bool(row.get("pid") == os.getpid() and what != str(os.getpid()))


def strangers(what: str, proc: str, seen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Processes that are there and meant, but are nobody's candidates: each with ``why``."""
    from lmkd.kernel.process import list_pids, read_stat

    cost = (seen["status"] or {}).get("cost") or {}
    own = {part.get("pid") for part in cost.values() if isinstance(part, dict)}
    found = []
    for pid in list_pids(proc):
        stat = read_stat(proc, pid)
        if stat is None or _asks(what, {"pid": pid}):
            continue
        if not (is_meant(what, {"pid": pid, "name": stat.comm}) or (what == "lmkd" and pid in own)):
            continue
        why = "lmkd does not know it yet, or may not look at it: see lmkd ps"
        if pid == 1:
            why = "process 1 is never ended: the board would stop with it"
        elif stat.kernel_thread:
            why = "a kernel thread has no memory that its death would return"
        elif pid in own:
            why = "it is lmkd itself, which is nobody's victim"
        found.append({"pid": pid, "name": stat.comm, "candidate": False, "why": why})
    return found
