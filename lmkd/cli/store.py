"""``lmkd store``: the compressed store by hand, configured as for ``lmkd run``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lmkd.errors import EXIT_OK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots
    from lmkd.store.state import StoreSpec, StoreState

_LINES = (
    ("device", "device"),
    ("algorithm", "algorithm"),
    ("size", "size_kib"),
    ("memory limit", "mem_limit_kib"),
    ("stored", "orig_kib"),
    ("compressed", "compressed_kib"),
    ("occupies", "used_kib"),
    ("occupied at most", "used_max_kib"),
    ("swap used", "swap_used_kib"),
    ("swap priority", "swap_priority"),
    ("ratio", "ratio"),
)
_ZSWAP_LINES = (
    ("pool", "pool"),
    ("behind it", "backing"),
    ("rejected pages", "rejected_pages"),
    ("limit hits", "limit_hits"),
    ("written back", "written_back_pages"),
    ("device writes", "device_writes"),
)
_NOT_OF_ZSWAP = ("compressed_kib", "used_max_kib")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd store`` and its actions."""
    from lmkd.cli import store_trial

    parser = subparsers.add_parser("store", help="bring the compressed store up or down, or look at it")
    actions = parser.add_subparsers(dest="action", required=True, metavar="up|down|move|status|trial|bench")
    up = actions.add_parser("up", help="adopt the store that is up, or make one as configured")
    down = actions.add_parser("down", help="take the store down; refused while what is stored would not fit")
    move = actions.add_parser("move", help="move the store to a new device with the settings as configured now")
    move.add_argument("--algorithm", metavar="NAME", help="this algorithm instead of the configured one")
    move.add_argument(
        "--if-better", action="store_true",
        help="only where auto has come to mean another algorithm, or a move was ended half-way, and only in calm",
    )  # fmt: skip
    status = actions.add_parser("status", help="what the store is and holds")
    for action in (up, move):
        action.add_argument(
            "--config", metavar="FILE", type=Path, action="append",
            help="use this file instead of the system's configuration (may be repeated)",
        )  # fmt: skip
    for action in (up, down, move):
        action.add_argument("--dry-run", action="store_true", help="say what would be done and touch nothing")
    for action in (up, down, move, status):
        action.add_argument("--json", action="store_true", help="print one JSON object")
    store_trial.add_parsers(actions)


def run(args: argparse.Namespace) -> int:
    """Do the action; StoreError and ConfigError go to the caller."""
    from lmkd.kernel.files import system_roots

    roots = system_roots()
    if args.action == "status":
        return _status(args, roots)
    if args.action in ("trial", "bench"):
        from lmkd.cli import store_trial

        return store_trial.run(args, roots, _say)
    return {"up": _up, "down": _down, "move": _move}[args.action](args, roots)


def _status(args: argparse.Namespace, roots: Roots) -> int:
    from lmkd.cli.store_trial import last_trial, lines
    from lmkd.store import stores

    tried = last_trial(roots, _say)
    print(render(stores.status(roots), args.json, {"trial": tried}))
    if not args.json:
        print("\n".join(["", "last trial:", *lines(tried)] if tried else ["no trial yet: see lmkd store trial"]))
    return EXIT_OK


def _up(args: argparse.Namespace, roots: Roots) -> int:
    from lmkd.store import stores

    spec = _wanted(args.config, roots)
    dry_run = stores.dry_run(roots) if args.dry_run else None
    state = stores.bring_up(roots, spec, _say if dry_run is None else _say_would, dry_run)
    if dry_run is not None:
        _say_actions(dry_run.actions)
    print(render(state, args.json))
    return EXIT_OK


def _move(args: argparse.Namespace, roots: Roots) -> int:
    from lmkd.store.dry_run import DryRunEffects
    from lmkd.store.move import improve, move
    from lmkd.values import replace

    spec = _wanted(args.config, roots)
    if args.algorithm:
        spec = replace(spec, algorithm=args.algorithm)
    dry_run = DryRunEffects(roots) if args.dry_run else None
    state = (improve if args.if_better else move)(roots, spec, _say if dry_run is None else _say_would, dry_run)
    if dry_run is not None:
        _say_actions(dry_run.actions)
    print(render(state, args.json))
    return EXIT_OK


def _down(args: argparse.Namespace, roots: Roots) -> int:
    from lmkd.store import stores

    dry_run = stores.dry_run(roots) if args.dry_run else None
    stores.take_down(roots, _say if dry_run is None else _say_would, effects=dry_run)
    if dry_run is not None:
        _say_actions(dry_run.actions)
    print(render(stores.status(roots), args.json))
    return EXIT_OK


def _wanted(files: list[Path] | None, roots: Roots) -> StoreSpec:
    from lmkd import config
    from lmkd.store.wanted import wanted_here

    return wanted_here(roots, config.load(files) if files else config.load_default(roots.etc), _say)


def _say(event: str, fields: dict[str, object]) -> None:
    numbers = " ".join(f"{key}={item}" for key, item in fields.items())
    print(f"lmkd: {event} {numbers}", file=sys.stderr)


def _say_would(event: str, fields: dict[str, object]) -> None:
    _say(f"would report {event}", fields)


def _say_actions(actions: list[str]) -> None:
    for action in actions:
        print(f"lmkd: would {action}", file=sys.stderr)


def render(state: StoreState, as_json: bool, more: dict[str, object] | None = None) -> str:
    """The store as one JSON object, with ``more`` in it, or as aligned lines for a person."""
    from lmkd.values import as_dict

    fields = as_dict(state)
    if as_json:
        import json

        return json.dumps(fields | (more or {}))
    if state.kind == "none":
        return "no store is up"
    origin = "set up by somebody else, used as it is" if state.foreign else "lmkd's own"
    rows: tuple[tuple[str, str], ...] = _LINES
    if state.kind == "zswap":
        rows = tuple(row for row in _LINES if row[1] not in _NOT_OF_ZSWAP) + _ZSWAP_LINES
    width = max(len(label) for label, _key in _LINES)
    lines = [f"{'store':{width}}  {state.kind}, {origin}{', adopted' if state.adopted else ''}"]
    lines.extend(f"{label:{width}}  {_text(key, fields[key])}" for label, key in rows)
    return "\n".join(lines)


def _text(key: str, item: object) -> str:
    if item is None:
        return "none" if key == "mem_limit_kib" else "-"
    if isinstance(item, float):
        return f"{item:.2f}"
    if key.endswith("_kib") and isinstance(item, int):
        return f"{item / 1024:.1f} MiB"
    return str(item)
