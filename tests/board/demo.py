"""Owns the demonstration: one load on two boards, with lmkd and without a manager, shown as it happens and compared."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmkd.log import paint

from .image import Base, ensure_base
from .live import KernelWatch, Stage
from .records import events, figure
from .scenario import Result, Scenario, run_scenario
from .scenarios import NO_KERNEL_KILL
from .vm import Watch

HEADING = "1"
LABEL_WIDTH, COLUMN_WIDTH = 32, 36

CONFIG = """\
stall_budget: 33ms
apps:
  - name: ui
    match: {comm: ui}
    priority: foreground
  - name: camera
    match: {comm: camera}
    priority: foreground
  - name: music
    match: {comm: "music-*"}
    priority: service
  - name: mail
    match: {comm: "mail-*"}
    priority: background
  - name: gallery
    match: {comm: "gallery-*"}
    priority: cached
  - name: tab
    match: {comm: "tab-*"}
    priority: cached
"""

# The same numbers as the classes above, so that the kernel alone has the same idea of who matters.
LOAD = (
    "--heartbeat name=ui,period_ms=20,anon=24M,file=7M,path=/lmkd/fg.dat,adj=0",
    "--background name=music,n=2,size=12M,adj=500",
    "--background name=mail,n=2,size=12M,adj=700",
    "--background name=gallery,n=2,size=12M,adj=900",
    "--background name=tab,n=2,size=12M,adj=900",
    "--grow name=leaky,rate=30M,limit=0,compress=3,adj=200,delay=3",
    "--grow name=camera,rate=15M,limit=140M,compress=1,adj=0,delay=12",
)
DEMO = Scenario(
    "demo", "a leak, then a camera that is opened in front of the person",
    load=LOAD, seconds=25, config=CONFIG, bounds=(NO_KERNEL_KILL,), follow=True,
)  # fmt: skip

INTRODUCTION = """\
An emulated ARM board: 256 MB, one 500 MIPS core, no swap disk.
  ui               in front of the person: draws a frame every 20 ms, and every missed one is counted
  music, mail, gallery, tab
                   eight applications in the background, 12 MB each
  leaky            begins to grow after 3 s: 30 MB/s, without end
  camera           is opened after 12 s: also in front, needs 140 MB that do not compress
"""


def demonstrate() -> int:
    """Run both boards and compare; 0, 1 when lmkd did not keep its promise, 2 when a board died."""
    stage = Stage(sys.stdout)
    base = ensure_base(_progress(stage))
    stage.say(INTRODUCTION)
    results = []
    for manager in (replace(DEMO, manager="lmkd"), replace(DEMO, manager="none", config=None, follow=False)):
        result = _show(manager, base, stage)
        if result.outcome.status != "finished":
            stage.say(f"The board ended without a result: {result.outcome.status}. Its console ends with")
            stage.say(result.outcome.console_tail())
            return 2
        results.append(result)
    for line in comparison(results, stage.colour):
        stage.say(line)
    if results[0].missed or not figure(results[0], "foreground_alive"):
        stage.say(f"lmkd did not keep its promise: {', '.join(results[0].missed) or 'the foreground died'}")
        return 1
    return 0


def _progress(stage: Stage) -> Any:
    begun = time.monotonic()
    return lambda text: stage.say(text if text.startswith("[") else f"[{time.monotonic() - begun:5.1f} s] {text}")


def _show(scenario: Scenario, base: Base, stage: Stage) -> Result:
    who = "lmkd as its memory manager" if scenario.manager == "lmkd" else "no manager, the same swap in RAM"
    stage.say(paint(f"The board boots with {who}; {scenario.seconds} s of load (times since power-on)",
                    HEADING, stage.colour))  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="lmkd-demo-") as scratch:
        console = Path(scratch) / "console.log"
        with KernelWatch(console, stage):
            result = run_scenario(scenario, base, stage.say, Watch(on_text=stage.text), console)
    worst = result.figures.get("gap_worst_ms")
    if worst is not None:
        stage.say(f"The worst stall of the foreground was {worst:.0f} ms.")
    stage.say()
    return result


def comparison(results: Sequence[Result], colour: bool) -> list[str]:
    """The closing table, a column a board."""
    rows: list[tuple[str, list[list[str]]]] = [
        ("worst stall of the foreground", [[f"{figure(run, 'gap_worst_ms'):.0f} ms"] for run in results]),
        ("frames late (over 33 ms)", [[_late(run)] for run in results]),
        ("foreground applications alive", [[_alive(run)] for run in results]),
        ("background applications kept", [[_kept(run)] for run in results]),
        ("killed by lmkd", [_killed(run, True) for run in results]),
        ("killed by the kernel", [_killed(run, False) for run in results]),
        ("kernel OOM kills", [[str(figure(run, "oom_kill_delta"))] for run in results]),
        ("memory of the service", [_memory(run) for run in results]),
    ]
    heads = ["lmkd" if run.scenario.manager == "lmkd" else "no manager" for run in results]
    lines = [paint(_line("", heads), HEADING, colour)]
    for label, cells in rows:
        for index in range(max(map(len, cells))):
            lines.append(_line("" if index else label, [cell[index] if index < len(cell) else "" for cell in cells]))
    return lines


def _line(label: str, cells: list[str]) -> str:
    return (f"{label:<{LABEL_WIDTH}}" + "".join(f"{cell:<{COLUMN_WIDTH}}" for cell in cells)).rstrip()


def _late(run: Result) -> str:
    return f"{figure(run, 'gaps_over_33ms')} of {figure(run, 'beats')}"


def _alive(run: Result) -> str:
    dead = [death["name"] for death in figure(run, "deaths") if death["name"] in ("ui", "camera")]
    return f"no: {', '.join(dead)}" if dead else "yes: ui, camera"


def _kept(run: Result) -> str:
    return f"{figure(run, 'background_kept')} of {figure(run, 'background_total')}"


def _killed(run: Result, by_lmkd: bool) -> list[str]:
    """Names in the order of their deaths, folded to the column."""
    ours = {event["pid"] for event in events(run.outcome, "kill")}
    names = [death["name"] for death in figure(run, "deaths") if (death["pid"] in ours) == by_lmkd]
    lines = [""]
    for name in names:
        more = f"{lines[-1]}, {name}" if lines[-1] else name
        if len(more) < COLUMN_WIDTH - 3:
            lines[-1] = more
        else:
            lines[-1] += ","
            lines.append(name)
    return lines if names else ["-"]


def _memory(run: Result) -> list[str]:
    if run.scenario.manager == "none":
        return ["-"]
    sizes = [process["pss_kib"] / 1024 for process in figure(run, "processes")]
    parts = ", ".join(f"{who} {size:.1f}" for who, size in zip(("guard", "helper"), sizes, strict=False))
    return [f"{sum(sizes):.1f} MB ({parts})"]
