"""``lmkd store trial`` and ``lmkd store bench``: the kernel's compression algorithms on this board's own memory."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmkd.cli.render import columns
from lmkd.errors import EXIT_OK, ConfigError, LmkdError
from lmkd.units import format_kib
from lmkd.values import as_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.config import Config
    from lmkd.kernel.files import Roots
    from lmkd.store.choice import Board, Rated
    from lmkd.store.remembered import Remembered
    from lmkd.store.trial_effects import TrialEffects

    Say = Callable[[str, dict[str, object]], None]

PAGES_MAX = 4096
_COLUMNS = ("algorithm", "ratio", "compressed", "occupied", "store", "fetch", "own memory", "effective")
_UNITS = ("", "", "B/page", "B/page", "us/page", "us/page", "KB", "memory")
_WIDTH = 80


def add_parsers(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the two actions to ``lmkd store``."""
    from lmkd.cli import store_bench

    trial = actions.add_parser("trial", help="try the kernel's algorithms on samples of memory, and remember it")
    bench = actions.add_parser("bench", help="the store's figures on this machine; remember and change nothing")
    store_bench.add_options(bench)
    trial.add_argument("--clear", action="store_true", help="only remove what a trial that was killed left behind")
    for action in (trial, bench):
        action.add_argument("--json", action="store_true", help="print one JSON object")
        action.add_argument("--pages", type=_pages, default=256, metavar="N", help="pages to sample (%(default)s)")
        action.add_argument("--process", metavar="NAME", help="sample only processes of this name (* ? [a-z])")
        action.add_argument(
            "--algorithm", metavar="NAME", action="append", default=[], help="try this one (may be repeated)"
        )
        action.add_argument(
            "--config", metavar="FILE", type=Path, action="append",
            help="choose for this file instead of the system's configuration (may be repeated)",
        )  # fmt: skip


def _pages(text: str) -> int:
    from lmkd.store.sampler import PAGES_MIN

    if not (text.isascii() and text.isdigit() and PAGES_MIN <= int(text[:9]) <= PAGES_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {PAGES_MIN} to {PAGES_MAX}")
    return int(text)


def run(args: argparse.Namespace, roots: Roots, say: Say) -> int:
    """Do the action; StoreError and ConfigError go to the caller."""
    from lmkd.store.trial_effects import TrialEffects

    port = TrialEffects(roots)
    if getattr(args, "clear", False):
        from lmkd.store.trial_note import clear_dead

        with port.lock():
            clear_dead(roots, port, say)
        return EXIT_OK
    _leave_cleanly()
    if args.action == "bench":
        from lmkd.cli import store_bench
        from lmkd.store.bench_effects import BenchEffects

        return store_bench.run(args, BenchEffects(roots), lambda: _benched(_survey(args, roots, port, say)[0]))
    from lmkd.store.remembered import remember

    shown, found = _survey(args, roots, port, say)
    shown["kept"] = str(remember(roots, found, say))
    print(json.dumps(shown) if args.json else "\n".join(lines(shown)))
    return EXIT_OK


def _benched(shown: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    return shown, lines(shown)


def _survey(args: argparse.Namespace, roots: Roots, port: TrialEffects, say: Say) -> tuple[dict[str, Any], Remembered]:
    """Sample and try, with the configuration that counts: as plain values, and as what is remembered."""
    from lmkd import config as configs
    from lmkd.matching import glob_match
    from lmkd.store.survey import survey

    config = configs.load(args.config) if args.config else configs.load_default(roots.etc)
    name = args.process
    found = survey(
        roots, port, say, int(time.time()), args.pages, args.algorithm,
        None if name is None else lambda comm: glob_match(name, comm),
    )  # fmt: skip
    shown = described(found.found, config, read_ram_kib(roots))
    return shown | {"failed": dict(found.failed), "lz4_package_ratio": found.lz4_ratio}, found.found


def _leave_cleanly() -> None:
    """No core dump has sampled pages in it, and a signal to end removes the scratch device first."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def read_ram_kib(roots: Roots) -> int:
    """MemTotal."""
    from lmkd.store.fit import read_memory

    return read_memory(roots).total_kib


def described(found: Remembered, config: Config, ram_kib: int) -> dict[str, Any]:
    """Figures, bounds and choice, with the size that ``auto`` makes of it, as plain values."""
    from lmkd.store.choice import auto_size_kib, kept_bounds, rate, slots_kib
    from lmkd.store.wanted import board_of

    board: Board = board_of(config, ram_kib, found.page_bytes)
    rated = rate(found.figures, board)
    taken = next(row for row in rated if not row.reason)
    size_kib = auto_size_kib(ram_kib, board.limit_kib or None, taken.ratio)
    known = {key: item for key, item in as_dict(found).items() if key != "figures"}
    return known | {
        "ram_kib": ram_kib,
        "mem_limit_kib": board.limit_kib,
        "stall_budget_ms": board.stall_budget_ms,
        "bounds": as_dict(kept_bounds(found.figures, board)),
        "algorithms": [_row(row) for row in rated],
        "auto": taken.figure.name,
        "auto_size_kib": size_kib,
        "auto_size_costs_kib": slots_kib(size_kib, found.page_bytes, found.entry_bytes),
    }


def _row(rated: Rated) -> dict[str, Any]:
    numbers = {key: round(item, 2) if isinstance(item, float) else item for key, item in as_dict(rated.figure).items()}
    return numbers | {"ratio": round(rated.ratio, 3), "effective_kib": rated.effective_kib, "reason": rated.reason}


def lines(shown: dict[str, Any]) -> list[str]:
    """For a person: what was sampled, the table, and what ``auto`` makes of it."""
    same = f", {shown['same_pages']} of one repeated word" if shown["same_pages"] else ""
    rows = shown["algorithms"]
    limits = shown["bounds"]
    said = [f"{row['name']}: {'not taken: ' + row['reason'] if row['reason'] else 'taken'}" for row in rows]
    said += [f"{name}: not tried: {reason}" for name, reason in shown.get("failed", {}).items()]
    if shown.get("lz4_package_ratio"):
        said.append(f"the lz4 package gives the same pages {shown['lz4_package_ratio']:.2f}, before zsmalloc")
    said.append(
        f"bounds: {limits['burst_pages']} pages (1% of {format_kib(shown['ram_kib'])}) fetched within half of the "
        f"stall budget of {shown['stall_budget_ms']} ms: {limits['fetch_us']:.1f} us a page; stored within three: "
        f"{limits['store_us']:.1f} us"
    )
    said.append(
        f"auto: {shown['auto']}, with a size of {format_kib(shown['auto_size_kib'])} for a memory limit of "
        f"{format_kib(shown['mem_limit_kib'])}; its empty slots cost {format_kib(shown['auto_size_costs_kib'])}"
    )
    if "kept" in shown:
        said.append(f"remembered in {shown['kept']}; in force when the store is made the next time")
    sampled = (
        f"{shown['pages']} pages of {shown['page_bytes']} bytes, of {shown['processes']} processes{same}; "
        f"Linux {shown['kernel']}, {shown['machine']}"
    )
    return [*_wrapped(sampled), *columns([_COLUMNS, _UNITS, *map(_cells, rows)]), *(
        line for text in said for line in _wrapped(text)
    )]  # fmt: skip


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = (f"{row[key]:.0f}" for key in ("compressed_bytes", "occupied_bytes"))
    times = (f"{row[key]:.1f}" for key in ("store_us", "fetch_us"))
    effective = format_kib(row["effective_kib"])
    return (row["name"], f"{row['ratio']:.2f}", *numbers, *times, str(row["overhead_kib"]), effective)


def last_trial(roots: Roots, say: Say) -> dict[str, Any] | None:
    """What was remembered for this kernel, by the system's configuration; None when nothing was."""
    from lmkd import config as configs
    from lmkd.store.remembered import recall

    found = recall(roots, say)
    if found is None:
        return None
    try:
        config = configs.load_default(roots.etc)
    except ConfigError as error:
        say("degraded", {"feature": "configuration", "cost": "the defaults are used here", "reason": str(error)})
        config = configs.parse_text("")
    try:
        return described(found, config, read_ram_kib(roots))
    except LmkdError as error:
        say("degraded", {"feature": "last trial", "cost": "not shown", "reason": str(error)})
        return None
