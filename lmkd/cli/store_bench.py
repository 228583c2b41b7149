"""``lmkd store bench``: this machine's figures of the store in use and of the kernel's algorithms; nothing is kept."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any

from lmkd.cli.render import columns
from lmkd.errors import EXIT_OK, KernelInterfaceError, StoreError
from lmkd.units import format_kib, parse_size_kib

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmkd.store.bench import Bench
    from lmkd.store.bench_effects import BenchEffects

PAGES, DEATHS, ALGORITHMS = "pages", "deaths", "algorithms"
PARTS = (PAGES, DEATHS, ALGORITHMS)
SIZE_KIB, SIZE_MAX_KIB = 16 << 10, 256 << 10
APPS, APPS_MIN, APPS_MAX = 8, 2, 32
WIDTH = 80
_HEAD = ("", "pages", "out", "back", "(CPU)", "median", "99th", "worst", "MB/s")


def add_options(bench: argparse.ArgumentParser) -> None:
    """What ``bench`` has beside the options of a trial."""
    bench.add_argument(
        "--only", choices=PARTS, action="append", default=[],
        help="pages: to the store and back; deaths: what they give back; algorithms: a trial (may be repeated)",
    )  # fmt: skip
    bench.add_argument(
        "--size", type=_size_kib, default=SIZE_KIB, metavar="SIZE",
        help="memory of its own to send there, less when memory is short (16M)",
    )  # fmt: skip
    bench.add_argument(
        "--apps", type=_apps, default=APPS, metavar="N", help="processes, half of which end (%(default)s)"
    )


def _size_kib(text: str) -> int:
    from lmkd.store.bench_room import LEAST_KIB

    try:
        found = parse_size_kib(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not LEAST_KIB <= found <= SIZE_MAX_KIB:
        raise argparse.ArgumentTypeError(f"{text!r} is not from {LEAST_KIB >> 10}M to {SIZE_MAX_KIB >> 10}M")
    return found


def _apps(text: str) -> int:
    if not (text.isascii() and text.isdigit() and APPS_MIN <= int(text[:9]) <= APPS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {APPS_MIN} to {APPS_MAX}")
    return int(text)


def run(args: argparse.Namespace, port: BenchEffects, survey: Callable[[], tuple[dict[str, Any], list[str]]]) -> int:
    """Measure the parts that are asked for, a person sees each as it is ready. ``survey`` does the algorithms.

    A part that cannot be measured does not keep the others from it; StoreError says which, and why, at the end.
    """
    from lmkd.store.bench_process import ProcessEndedError

    port.be_least()
    shown: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for part in PARTS:
        if args.only and part not in args.only:
            continue
        try:
            found, text = survey() if part == ALGORITHMS else _of_the_store(part, args, port)
        except ProcessEndedError:
            raise
        except (KernelInterfaceError, StoreError) as error:
            missing[part] = str(error)
            continue
        if not args.json:
            print("\n".join([*([""] if shown else []), *text]), flush=True)
        shown |= found
    if args.json:
        print(json.dumps(shown | {"not_measured": missing}))
    if missing:
        raise StoreError("\n".join(f"{part}: {reason}" for part, reason in missing.items()))
    return EXIT_OK


def _of_the_store(part: str, args: argparse.Namespace, port: BenchEffects) -> tuple[dict[str, Any], list[str]]:
    from lmkd.store.bench import Bench, deaths_shown, ways_shown

    bench = Bench(port, args.size)
    shown = {"store": about(bench, port)}
    if part == DEATHS:
        deaths, counted = bench.deaths(args.apps)
        found = deaths_shown(deaths, counted)
        return shown | {DEATHS: found}, death_lines(found, shown["store"])
    ways, missing = bench.ways()
    found = ways_shown(ways, bench.pairs(), port.page_bytes()) | {"missing": list(missing)}
    return shown | {PAGES: found}, page_lines(found, shown["store"])


def about(bench: Bench, port: BenchEffects) -> dict[str, Any]:
    """Which store was measured."""
    import os

    state = bench.state
    return {
        "kind": state.kind, "device": state.device, "algorithm": state.algorithm, "pool": state.pool,
        "backing": state.backing, "page_bytes": port.page_bytes(), "page_cluster": port.page_cluster(),
        "kernel": os.uname().release,
    }  # fmt: skip


def page_lines(found: dict[str, Any], store: dict[str, Any]) -> list[str]:
    """For a person: a page's way there and back."""
    pool = f", {store['pool']}" if store["pool"] else ""
    lines = [
        f"{store['kind']} ({store['device']}{pool}), {store['algorithm']}, Linux {store['kernel']}",
        "microseconds a page of " + f"{store['page_bytes']} bytes, there and back; back in random order",
        *columns([_HEAD, *(_way_cells(way) for way in found["ways"])]),
    ]
    alone = next((way["mb_s"] for way in found["ways"] if "mb_s" in way), None)
    for pair in found["two_at_once"]:
        where = "one processor" if pair["processors"] == 1 else "a processor each"
        each = " + ".join(f"{speed:.1f}" for speed in pair["each_mb_s"])
        said = f", {alone:.1f} alone" if alone is not None else ""
        together = f"together {pair['together_mb_s']:.1f}"
        lines += _wrapped([f"two at once, {where}: {each} MB/s, {together}{said}"])
    lines += _wrapped(
        f"{way['kind']}: {way['tried'] - way['out']} of {way['tried']} pages did not go out"
        for way in found["ways"] if way["out"] < way["tried"]
    )  # fmt: skip
    lines += _wrapped(f"not measured: {reason}" for reason in found["missing"])
    if store["page_cluster"]:
        said = "where it is not read page by page, a fault brings others with it"
        lines += _wrapped([f"vm.page-cluster is {store['page_cluster']}: {said}"])
    return [*lines, _compared(found)]


def _way_cells(way: dict[str, Any]) -> tuple[str, ...]:
    first = (way["kind"], str(way["out"]), f"{way['out_us']:.1f}")
    if "back_us" not in way:
        return (*first, *("-",) * 6)
    times = (f"{way[key]:.1f}" for key in ("back_us", "back_cpu_us", "median_us", "p99_us", "worst_us", "mb_s"))
    return (*first, *times)


def death_lines(found: dict[str, Any], store: dict[str, Any]) -> list[str]:
    """For a person: what deaths give back."""
    predicted = found["predicted_kib"]
    rows = [("", "occupies", "given back", "of predicted"), ("before", _kib(found["before"]), "", "")]
    for name, label in (("at_once", "at once"), ("compacted", "after compaction")):
        if found[name] is not None:
            back = found["returned_kib"][name]
            share = f"{100 * back / predicted:.0f}%" if predicted else "-"
            rows.append((label, _kib(found[name]), format_kib(back), share))
    size = format_kib(found["app_kib"])
    said = "" if found["compacted"] is not None else f"; {store['kind']} cannot be told to compact"
    return [
        *_wrapped([
            f"{found['ended']} of {found['apps']} processes of {size} ended, which had {format_kib(found['gone_kib'])} "
            f"stored: the store's average ratio predicts {format_kib(predicted)}{said}"
        ]),
        *columns(rows),
        _compared(found),
    ]  # fmt: skip


def _kib(level: dict[str, int]) -> str:
    return format_kib(level["used_kib"])


def _compared(found: dict[str, Any]) -> str:
    return f"{found['compared']} pages compared byte by byte, {found['corrupt']} came back different"


def _wrapped(texts: Any) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, WIDTH)]
