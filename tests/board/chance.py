"""Owns loads of chance, which nobody chose to look well: ``python -m tests.board.chance 1 2 3``.

Each seed is another board of applications, of which some run all the time and some do not compress, beside one to three
that grow, and often something else. What fits is never more than three quarters of the memory before anybody grows.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from .image import ensure_base
from .page import table
from .scenario import Manager, Result, Scenario, run_scenario

SECONDS = 30
HEADS = ("seed", "board", "worst gap", "later than 33 ms", "than 100 ms", "kernel's kills", "kept", "who was ended")
TMPFS = ("mkdir /tmp/big", "mount -t tmpfs -o size=400m big /tmp/big")


def of_chance(seed: int) -> Scenario:
    """The same one for the same seed."""
    dice = Random(seed * 7919 + 1)
    mem_mb = dice.choice((256, 256, 256, 256, 128, 512))
    extra = tuple(_beside(dice, mem_mb))
    return Scenario(
        f"chance-{seed}", "applications of chance",
        load=(_front(dice, mem_mb), *_apps(dice, mem_mb), *_growers(dice, mem_mb), *extra),
        seconds=SECONDS, mem_mb=mem_mb, seed=seed, extra=TMPFS if any("--tmpfs" in one for one in extra) else (),
    )  # fmt: skip


def _front(dice: Random, mem_mb: int) -> str:
    scale = mem_mb / 256
    churn = dice.choice(("", ",churn=64K", "", ",churn=256K"))
    anon, file = dice.uniform(10, 40) * scale, dice.uniform(2, 10) * scale
    sizes = f"anon={anon * 1024:.0f}K,file={file * 1024:.0f}K"
    return f"--heartbeat period_ms=20,{sizes},path=/lmkd/fg.dat,adj=0,compress={dice.choice((2, 3))}{churn}"


def _apps(dice: Random, mem_mb: int) -> Iterator[str]:
    groups, all_mb = dice.randint(1, 3), dice.uniform(0.25, 0.75) * mem_mb
    for number in range(groups):
        size_mb = math.exp(dice.uniform(0, math.log(24))) * mem_mb / 256
        adj = dice.choice(("900", "700", "600", "500", "800..950", "900", "200"))
        kind = f"compress={dice.choice((1, 2, 3, 3, 4))},touch_ms={dice.choice((0, 0, 0, 500, 3000))}"
        count = max(1, int(all_mb / groups / size_mb))
        yield f"--background name=g{number},n={count},size={size_mb * 1024:.0f}K,adj={adj},{kind}"


def _growers(dice: Random, mem_mb: int) -> Iterator[str]:
    for number in range(dice.randint(1, 3)):
        rate_kib_s = math.exp(dice.uniform(0, math.log(400))) * 1024
        limit = dice.choice((0, 0, dice.uniform(0.1, 0.6) * mem_mb))
        kind = f"compress={dice.choice((1, 2, 3, 5))},adj={dice.choice((200, 200, 500, 900, 700))}"
        yield f"--grow name=grow{number},rate={rate_kib_s:.0f}K,limit={limit:.0f}M,{kind},delay={dice.randint(2, 14)}"


def _beside(dice: Random, mem_mb: int) -> Iterator[str]:
    kind = dice.choice(("tmpfs", "cache", "respawn", "switch", "", "", "", ""))
    if kind == "tmpfs":
        limit_mb = dice.uniform(0.3, 1.2) * mem_mb
        yield f"--tmpfs rate={dice.randint(5, 60)}M,limit={limit_mb:.0f}M,dir=/tmp/big,adj=200,delay=3,compress=3"
    if kind == "cache":
        yield f"--cache path=/dev/vda,rate={dice.randint(10, 60)}M,total=800M,adj=200,delay=3"
    if kind == "respawn":
        yield f"--respawn rate={dice.randint(10, 200)}M,adj=600,delay=3"
    if kind == "switch":
        yield f"--switch at=14,size={20 * mem_mb // 256}M,adj=900,at_adj=0"


def row_of(result: Result) -> tuple[str, ...]:
    """What is told of one run."""
    figures, scenario = result.figures, result.scenario
    died = [str(death["name"]) for death in figures["deaths"]]
    return (
        str(scenario.seed),
        f"{scenario.mem_mb} MB",
        f"{figures['gap_worst_ms']:.0f} ms" + ("" if figures["foreground_alive"] else ", ended"),
        str(figures["gaps_over_33ms"]),
        str(figures["gaps_over_100ms"]),
        str(figures["oom_kill_delta"]),
        f"{figures['background_kept']} of {figures['background_total']}",
        ", ".join(f"{name} x{died.count(name)}" if died.count(name) > 1 else name for name in dict.fromkeys(died)),
    )


def _say(text: str) -> None:
    print(f"board: {text}", file=sys.stderr, flush=True)


def run(seed: int, manager: Manager) -> Result:
    """RuntimeError when the board does not end by itself."""
    result = run_scenario(replace(of_chance(seed), manager=manager), ensure_base(_say), _say)
    if result.outcome.status != "finished":
        raise RuntimeError(f"{seed}: {result.outcome.status}: {result.outcome.console_tail()}")
    _say(", ".join(row_of(result)))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """One board after the other; 1 when the kernel had to kill, or the foreground was ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.board.chance", description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+", metavar="SEED")
    parser.add_argument("--manager", choices=("none", "earlyoom", "nohang", "lmkd"), default="lmkd")
    parser.add_argument("--load", action="store_true", help="print the loads, run nothing")
    options = parser.parse_args(arguments)
    if options.load:
        for scenario in map(of_chance, options.seeds):
            print(f"{scenario.seed}: {scenario.mem_mb} MB", *scenario.load, sep="\n    ")
        return 0
    results = [run(seed, options.manager) for seed in options.seeds]
    print(table(HEADS, map(row_of, results)))
    return int(any(one.figures["oom_kill_delta"] or not one.figures["foreground_alive"] for one in results))


if __name__ == "__main__":
    sys.exit(main())
