"""``lmkd status``: what the running lmkd sees, as it tells it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from lmkd.cli.render import add_socket_option, groups, use_colour
from lmkd.cli.watch_options import add_options
from lmkd.errors import EXIT_OK
from lmkd.log import is_number, paint

FIRST = (
    "level",
    "headroom",
    "forecast",
    "store",
    "last_kill",
    "kills",
    "in_flight",
    "cost",
    "uptime_ms",
    "last_look_ms",
    "degraded",
)
LAST = ("stall", "learned", "killed", "records", "settings")
_LEVEL_COLOURS = {"calm": "32", "low": "33", "moderate": "31", "critical": "1;31"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd status``."""
    parser = subparsers.add_parser(
        "status",
        help="what the running lmkd sees",
        description="Show what the running lmkd sees and has done, once or as a live view.",
    )
    parser.add_argument("--json", action="store_true", help="print the status as one JSON object")
    add_socket_option(parser)
    add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Ask once and print, or go on with it."""
    if args.watch and not args.json:
        from lmkd.cli import watch

        return watch.run(args)
    from lmkd.control.client import ControlClient

    with ControlClient(args.socket) as client:
        status = client.status()
    if args.json:
        print(json.dumps(status, indent=2))
        return EXIT_OK
    print("\n".join(status_lines(status, use_colour(sys.stdout), time.monotonic() * 1000)))
    return EXIT_OK


def status_lines(status: Mapping[str, Any], colour: bool, now_ms: float) -> list[str]:
    """The status for a person at ``now_ms`` (monotonic): what matters first, then whatever else there is."""
    shown = with_derived(status, now_ms)
    keys = [key for key in FIRST if key in shown]
    keys += [key for key in shown if key not in (*FIRST, *LAST)]
    keys += [key for key in LAST if key in shown]
    lines = groups({key: shown[key] for key in keys}, colour)
    level = status.get("level")
    if isinstance(level, str) and level in _LEVEL_COLOURS:
        lines[0] = lines[0].removesuffix(level) + paint(level, _LEVEL_COLOURS[level], colour)
    return lines


def with_derived(status: Mapping[str, Any], now_ms: float) -> dict[str, Any]:
    """The status with its moments turned into ages, and the store's compression as ``ratio``.

    lmkd's moments are on CLOCK_MONOTONIC, which is one clock for the whole machine. The figures are as old as the
    guard's last look (``last_look_ms``), which may be long ago while there is room.
    """
    shown = dict(status)
    for moment, age in (("t_ms", "last_look_ms"), ("started_ms", "uptime_ms")):
        then_ms = shown.pop(moment, None)
        if is_number(then_ms) and then_ms <= now_ms:
            shown.setdefault(age, now_ms - then_ms)
    store = shown.get("store")
    if isinstance(store, Mapping) and "ratio" not in store:
        orig_kib, used_kib = store.get("orig_kib"), store.get("used_kib")
        ratio = orig_kib / used_kib if is_number(orig_kib) and is_number(used_kib) and used_kib > 0 else None
        shown["store"] = {**store, "ratio": ratio}
    return shown
