"""Owns the memory timeline of one scenario: runs it with and without lmkd, sampling, and has both drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .boards import find
from .image import ensure_base
from .layer import CHECKOUT
from .measured import LABELS
from .packages import BoardError, Progress
from .page import PAGE, folded, replace_section
from .records import events, figure
from .scenario import Manager, Result, Scenario, run_scenario

PICTURE = "timeline.svg"
SAMPLE_MS = 50
SHOWN_AFTER_S = 6.0  # of calm after the last thing that happened
# Records of lmkd that are actions, beside its kills.
ACTIONS = ("trim", "fetch", "hold", "freeze", "release")
DEFAULT_NAMES: Mapping[str, str] = {"--grow": "grow", "--respawn": "respawn", "--tmpfs": "tmpfsw", "--cache": "cache"}
BODY = """\
## Memory over time

![Memory of the board over time with and without lmkd, with the late frames and what was done]({picture})

{text}
"""
TEXT = """\
Scenario `{name}`: {about}. One run each, seed {seed}; memory is sampled every {step} ms in the guest. Bands from below:
kernel and services, the store (what the compressed pages take), anonymous memory, page cache, free. The dashed line is
what the store holds, before compression. Beneath, each frame later than 25 ms, on a logarithmic scale. Made with
`python -m tests.board timeline`.
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: at so many seconds, by whom ("lmkd", "kernel", "load" or an action's name)."""

    t: float
    by: str
    name: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """One run: samples are (s, then KiB free, cache, shared, anonymous, store, swapped out); late beats (s, ms)."""

    manager: str
    headline: str
    seconds: float
    total_kib: int
    samples: Sequence[Sequence[float]]
    late: Sequence[Sequence[float]]
    marks: Sequence[Mark]


def sampled(scenario: Scenario, manager: Manager, seed: int) -> Scenario:
    """The scenario with samples."""
    load = (*scenario.load, f"--sample {SAMPLE_MS}")
    return replace(scenario, load=load, manager=manager, seed=seed)


def begins(load: Iterable[str]) -> list[Mark]:
    """When the parts of the load that take memory begin."""
    marks = []
    for option in load:
        kind, _, keys = option.partition(" ")
        delay, name = re.search(r"\bdelay=([\d.]+)", keys), re.search(r"\bname=([\w.-]+)", keys)
        if kind in DEFAULT_NAMES and delay:
            marks.append(Mark(float(delay[1]), "load", name[1] if name else DEFAULT_NAMES[kind]))
        switch = re.search(r"\bat=([\d.]+)", keys) if kind == "--switch" else None
        marks += [Mark(float(switch[1]), "load", "switch")] if switch else []
    return marks


def timeline_of(result: Result) -> Timeline:
    """What one run says; MissingFigure without samples."""
    scenario, outcome = result.scenario, result.outcome
    start_ms = figure(result, "start_monotonic_ms")
    ours = {event["pid"] for event in events(outcome, "kill")}
    marks = begins(scenario.load)
    for death in figure(result, "deaths"):
        by = "lmkd" if death["pid"] in ours else "kernel" if scenario.manager in ("none", "lmkd") else "killed"
        marks.append(Mark(death["t"], by, death["name"]))
    for event in events(outcome, *ACTIONS):
        if not any(event.get(name) for name in ("skipped", "refused", "failed")):
            marks.append(Mark((event["t_ms"] - start_ms) / 1000, event["event"], str(event.get("name", ""))))
    kept = figure(result, "background_kept") + figure(result, "small_kept")
    total = figure(result, "background_total") + figure(result, "small_total")
    alive = "" if figure(result, "foreground_alive") else ", foreground killed"
    headline = (
        f"{LABELS[scenario.manager]}: worst gap {figure(result, 'gap_worst_ms'):.0f} ms, {kept} of {total} kept, "
        f"kernel OOM kills {figure(result, 'oom_kill_delta')}{alive}"
    )
    samples, late = figure(result, "samples"), figure(result, "late_beats")
    shown = sorted((mark for mark in marks if mark.t >= 0), key=lambda mark: mark.t)
    return Timeline(scenario.manager, headline, float(scenario.seconds), figure(result, "memory_total_kib"),
                    samples, late, shown)  # fmt: skip


def loaded(text: str) -> list[Timeline]:
    """The timelines of an earlier run."""
    return [Timeline(**{**row, "marks": [Mark(**mark) for mark in row["marks"]]}) for row in json.loads(text)]


def shown_seconds(timelines: Sequence[Timeline]) -> float:
    """Up to when there is something to see in any of them."""
    last = max((moment for each in timelines for moment in _moments(each)), default=0.0)
    return min(max(each.seconds for each in timelines), last + SHOWN_AFTER_S)


def _moments(timeline: Timeline) -> list[float]:
    return [*(mark.t for mark in timeline.marks), *(beat[0] for beat in timeline.late if beat[1] > 33)]


def timeline(name: str, seed: int, managers: Sequence[Manager], out: Path, redraw: bool, say: Progress) -> int:
    """Run, keep, draw, write; 2 when a board gave no result."""
    from .timeline_chart import draw_timelines

    kept = CHECKOUT / "build/bench" / f"timeline-{name}.json"
    if redraw and not kept.is_file():
        raise BoardError(f"nothing to draw again: {kept.relative_to(CHECKOUT)} is not there")
    if not redraw:
        made = _run(name, seed, managers, say)
        if made is None:
            return 2
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([asdict(each) for each in made]), encoding="utf-8")
    found = loaded(kept.read_text(encoding="utf-8"))
    scenario = find(name)
    (out / PICTURE).write_text(draw_timelines(scenario.name, scenario.about, found, shown_seconds(found)), "utf-8")
    text = TEXT.format(name=name, about=scenario.about, seed=seed, step=SAMPLE_MS)
    replace_section(out / PAGE, "timeline", BODY.format(picture=PICTURE, text=folded(text)))
    say(f"wrote {out / PICTURE} and {out / PAGE}")
    return 0


def _run(name: str, seed: int, managers: Sequence[Manager], say: Progress) -> list[Timeline] | None:
    base = ensure_base(say)
    found: list[Timeline] = []
    for manager in managers:
        say(f"{name}, {LABELS[manager]}")
        result = run_scenario(sampled(find(name), manager, seed), base, say)
        if result.outcome.status != "finished":
            say(f"{result.outcome.status}; the console ends with\n{result.outcome.console_tail()}")
            return None
        found.append(timeline_of(result))
    return found


def field(samples: Sequence[Sequence[float]], index: int) -> list[float]:
    """One column in MB; what was not readable is none of it."""
    return [max(0.0, row[index]) / 1024 for row in samples]
