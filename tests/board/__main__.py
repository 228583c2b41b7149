"""Owns the board's command line: demo, bench, timeline, wakecost, image, shell, run, list."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from .architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE
from .archive import DEFAULT_INIT, DEFAULT_SUITE, INIT_PACKAGES, SUITES
from .boards import find, on_suite
from .image import ensure_base
from .layer import CHECKOUT, Layer, build_layer
from .packages import ArchiveUnavailable, BoardError
from .report import as_json, as_table, exit_code
from .scenario import COMMANDS, run_scenario
from .scenarios import SCENARIOS
from .sizes import RESIZED
from .trials import TRIALS
from .vm import Machine, Watch, run_board


def say(text: str) -> None:
    """One line of progress, apart from results."""
    print(f"board: {text}", file=sys.stderr, flush=True)


def command_image(options: argparse.Namespace) -> int:
    base = ensure_base(say, options.suite, architecture=options.arch)
    print(base.root_disk.parent)
    return 0


def command_shell(options: argparse.Namespace) -> int:
    base = ensure_base(say, options.suite, options.init, options.arch)
    etc = (("lmkd.yaml", options.config.read_text(encoding="utf-8")),) if options.config else ()
    layer = Layer(options.commands + "\n", etc, tuple((path.name, path) for path in options.put), options.init)
    machine = Machine(options.mem, options.cpus, append=options.append, udev=options.udev)
    with tempfile.TemporaryDirectory(prefix="lmkd-shell-") as scratch:
        disk = Path(scratch) / "layer.ext4"
        build_layer(layer, base, disk, say)
        watch = Watch(on_text=lambda line: print(line, flush=True))
        outcome = run_board(base, disk, machine, options.deadline, (), watch, options.keep_log)
    if outcome.status != "finished":
        say(f"{outcome.status} after {outcome.host_seconds:.1f} s; the console ends with")
        say(outcome.console_tail())
        return 2
    say(f"{outcome.host_seconds:.1f} s, exit {outcome.exit_code}")
    return int(outcome.exit_code or 0)


def command_demo(_: argparse.Namespace) -> int:
    from .demo import demonstrate  # it needs lmkd's own dependencies, the other commands need none

    return demonstrate()


def command_bench(options: argparse.Namespace) -> int:
    from .bench import Seeds, compare, wanted_jobs

    wanted = wanted_jobs(Seeds(options.seeds, options.peer_seeds, options.board_seeds), options.suite)
    # The documents show the first board; another's page is for whoever asked.
    own = CHECKOUT / ("docs" if options.suite == DEFAULT_SUITE else f"build/bench/{options.suite}")
    return compare(options.only, options.managers, wanted, options.out or own, options.fresh, say)


def command_wakecost(options: argparse.Namespace) -> int:
    from .wakecost import measure

    return measure(options.out, say)


def command_timeline(options: argparse.Namespace) -> int:
    from .timeline import timeline

    return timeline(options.scenario, options.seed, options.managers, options.out, options.redraw, say)


def command_list(_: argparse.Namespace) -> int:
    for scenario in (*SCENARIOS, *TRIALS, *map(find, RESIZED)):
        print(f"{scenario.name:<22}{scenario.about}")
    return 0


def command_run(options: argparse.Namespace) -> int:
    scenario = find(options.scenario)
    if options.suite is not None:
        scenario = on_suite(scenario, options.suite)
    given = {"manager": options.manager, "mem_mb": options.mem, "cpus": options.cpus, "seed": options.seed}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options.config is not None:
        changes["config"] = options.config.read_text(encoding="utf-8")
    watch = Watch(on_text=say if options.verbose else None)
    base = ensure_base(say, scenario.suite, scenario.init, scenario.architecture)
    result = run_scenario(replace(scenario, **changes), base, say, watch, options.keep_log)
    print(as_json(result) if options.json else as_table(result))
    return exit_code(result)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m tests.board", description="the emulated board")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="show lmkd at work, beside the same load without a manager")
    demo.set_defaults(run=command_demo)
    _measure_parsers(commands)
    image = commands.add_parser("image", help="build the board's base, or find it in the cache")
    _suite(image, DEFAULT_SUITE)
    _architecture(image)
    image.set_defaults(run=command_image)
    shell = commands.add_parser("shell", help="boot, run shell commands, print their output")
    shell.add_argument("commands")
    _suite(shell, DEFAULT_SUITE)
    _architecture(shell)
    shell.add_argument("--mem", type=int, default=256, metavar="MB")
    shell.add_argument("--cpus", type=int, default=1, metavar="N")
    shell.add_argument("--config", type=Path, metavar="FILE", help="becomes /etc/lmkd/lmkd.yaml")
    shell.add_argument("--put", type=Path, action="append", default=[], metavar="FILE", help="to /lmkd/files")
    shell.add_argument("--udev", action="store_true", help="start udevd first")
    shell.add_argument("--init", choices=INIT_PACKAGES, default=DEFAULT_INIT, help="process 1 (%(default)s)")
    shell.add_argument("--append", default="", help="more kernel parameters")
    shell.add_argument("--deadline", type=float, default=120, metavar="S", help="host seconds at most")
    shell.add_argument("--keep-log", type=Path, metavar="FILE", help="where the console goes")
    shell.set_defaults(run=command_shell)
    _run_parser(commands)
    commands.add_parser("list", help="name the scenarios").set_defaults(run=command_list)
    return top


def _suite(command: argparse.ArgumentParser, default: str | None) -> None:
    command.add_argument("--suite", choices=SUITES, default=default, help=f"the board's Debian ({DEFAULT_SUITE})")


def _architecture(command: argparse.ArgumentParser) -> None:
    command.add_argument("--arch", choices=ARCHITECTURES, default=DEFAULT_ARCHITECTURE, help="%(default)s")


def _measure_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = commands.add_parser("bench", help="compare with no manager and with the peers; goes on where it stopped")
    _suite(bench, DEFAULT_SUITE)
    bench.add_argument("--only", nargs="+", default=[], metavar="NAME", help="run these scenarios; the page has all")
    bench.add_argument("--managers", nargs="+", default=[], choices=("none", *COMMANDS), help="run these")
    bench.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of lmkd, the worst counts (%(default)s)")
    bench.add_argument("--peer-seeds", type=int, default=1, metavar="N", help="runs of the others (%(default)s)")
    bench.add_argument("--board-seeds", type=int, default=1, metavar="N", help="on other boards (%(default)s)")
    bench.add_argument("--out", type=Path, metavar="FOLDER", help="for the page: docs; another suite's: build/bench")
    bench.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    bench.set_defaults(run=command_bench)
    timeline = commands.add_parser("timeline", help="draw the board's memory over time, with lmkd and without")
    timeline.add_argument("scenario", nargs="?", default="waves")
    timeline.add_argument("--seed", type=int, default=1, metavar="N")
    timeline.add_argument("--managers", nargs="+", default=["lmkd", "none"], choices=("none", *COMMANDS))
    timeline.add_argument("--out", type=Path, default=CHECKOUT / "docs", metavar="FOLDER", help="for the page, docs")
    timeline.add_argument("--redraw", action="store_true", help="the last run again, without a board")
    timeline.set_defaults(run=command_timeline)
    wakecost = commands.add_parser("wakecost", help="what a wake-up costs beside 50, 500, 2000 processes")
    wakecost.add_argument("--out", type=Path, default=CHECKOUT / "docs", metavar="FOLDER", help="for the page, docs")
    wakecost.set_defaults(run=command_wakecost)


def _run_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="run one scenario; 0: bounds hold, 1: one missed, 2: no result")
    run.add_argument("scenario", help="also NAME@64 on a board of 64 MB, NAME@trixie, NAME@arm64 on those")
    _suite(run, None)
    run.add_argument("--manager", choices=("none", *COMMANDS))
    run.add_argument("--mem", type=int, metavar="MB")
    run.add_argument("--cpus", type=int, metavar="N")
    run.add_argument("--seed", type=int, metavar="N")
    run.add_argument("--config", type=Path, metavar="FILE", help="becomes /etc/lmkd/lmkd.yaml")
    run.add_argument("--keep-log", type=Path, metavar="FILE", help="where the console goes")
    run.add_argument("--json", action="store_true")
    run.add_argument("--verbose", action="store_true", help="print the guest's text as it comes")
    run.set_defaults(run=command_run)


def main() -> int:
    options = parser().parse_args()
    try:
        code: int = options.run(options)
        return code
    except ArchiveUnavailable as error:
        say(f"the Debian archive failed, not the project: {error}")
        return 3
    except BoardError as error:
        say(str(error))
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
