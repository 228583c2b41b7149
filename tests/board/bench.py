"""Owns the comparison with no manager and with the peers: which runs it needs, making those that are missing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .archive import DEFAULT_SUITE
from .boards import jobs
from .image import Base, ensure_base
from .layer import CHECKOUT
from .measured import gap_name
from .packages import BoardError, Progress
from .page import Page, write_page
from .results import STORE, Job, Results, stamp
from .scenario import Manager, run_scenario
from .sizes import RESIZED
from .versions import read_versions

SCENARIO_NAMES = (
    "fits-150", "grow-5-comp", "grow-5-incomp", "grow-30-comp", "grow-30-incomp", "grow-300-comp",
    "grow-300-incomp", "small-150", "small-400", "tmpfs-280", "respawn", "switch", "flood", "waves",
    "frames-30", "frames-100",
)  # fmt: skip
ENERGY_NAME = "energy"
MANAGERS: tuple[Manager, ...] = ("none", "earlyoom", "nohang", "lmkd")
SIZED_MANAGERS: tuple[Manager, ...] = ("none", "lmkd")
NOT_KEPT = ("processes", "more_heartbeats")


@dataclass(frozen=True, slots=True)
class Seeds:
    """How many runs of each: of lmkd, of the others, and of either on boards of other sizes."""

    own: int = 5
    peers: int = 1
    sized: int = 1


def wanted_jobs(seeds: Seeds, suite: str = DEFAULT_SUITE) -> list[Job]:
    """All runs of a full comparison, a scenario's managers one after the other."""
    plan = [(name, who, seeds.own if who == "lmkd" else seeds.peers) for name in SCENARIO_NAMES for who in MANAGERS]
    plan += [(ENERGY_NAME, who, 1) for who in MANAGERS if who != "none"]
    plan += [(name, who, seeds.sized) for name in RESIZED for who in SIZED_MANAGERS]
    return [Job(name, who, seed, suite) for name, who, count in plan for seed in range(1, count + 1)]


def chosen(wanted: Iterable[Job], only: Sequence[str], managers: Sequence[Manager]) -> list[Job]:
    """Those of the named scenarios and managers; BoardError when that leaves none."""
    found = [job for job in wanted if job.scenario in (only or [job.scenario])]
    found = [job for job in found if job.manager in (managers or [job.manager])]
    if not found:
        raise BoardError(f"nothing to compare; scenarios: {' '.join((*SCENARIO_NAMES, ENERGY_NAME, *RESIZED))}")
    return found


def run_job(job: Job, base: Base, results: Results) -> dict[str, Any]:
    """Boot one board and keep what it gave, also when it died."""
    made_with = stamp(job)
    result = run_scenario(job.wanted, base, lambda text: None)
    figures = {name: value for name, value in result.figures.items() if name not in NOT_KEPT}
    seconds = round(result.outcome.host_seconds, 1)
    row = {"status": result.outcome.status, "host_seconds": seconds, "figures": figures}
    results.put(job, row, made_with)
    return row


def compare(
    only: Sequence[str], managers: Sequence[Manager], wanted: Sequence[Job], out: Path, fresh: bool, say: Progress
) -> int:
    """Run what is missing of what was asked for, then write the page from all there is; 1: a board gave no result."""
    asked = chosen(wanted, only, managers)
    base = ensure_base(say, asked[0].suite)
    results = Results(STORE, fresh)
    versions = read_versions(base, say)
    missing = [job for job in asked if (results.get(job) or {}).get("status") != "finished"]
    say(f"{len(asked)} runs, {len(asked) - len(missing)} of them kept from before in {STORE.relative_to(CHECKOUT)}")
    _run_all(missing, base, results, say)
    rows = [(job, row) for job in wanted if (row := results.get(job)) is not None]
    page = Page(versions, SCENARIO_NAMES, MANAGERS, RESIZED, SIZED_MANAGERS, ENERGY_NAME)
    for path in write_page(page, rows, out):
        say(f"wrote {path}")
    failed = [job.key for job, row in rows if row["status"] != "finished" and job in asked]
    say(f"no result: {', '.join(failed)}" if failed else "all boards gave a result")
    return 1 if failed else 0


def _run_all(missing: Sequence[Job], base: Base, results: Results, say: Progress) -> None:
    """Boards of one core side by side; one of several after them and alone, as its time is the host's."""
    alone = [job for job in missing if job.wanted.cpus > 1]
    _run_some([job for job in missing if job not in alone], jobs(), base, results, say)
    _run_some(alone, 1, base, results, say)


def _run_some(missing: Sequence[Job], side_by_side: int, base: Base, results: Results, say: Progress) -> None:
    begun = time.monotonic()
    with ThreadPoolExecutor(side_by_side, "bench") as pool:
        try:
            futures = {pool.submit(run_job, job, base, results): job for job in missing}
            for done, future in enumerate(as_completed(futures), start=1):
                passed = time.monotonic() - begun
                left = passed / done * (len(missing) - done)
                clocks = f"{_clock(passed)} passed, {_clock(left)} left"
                say(f"{done:3}/{len(missing)}  {clocks}  {_line(futures[future], future.result())}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _line(job: Job, row: dict[str, Any]) -> str:
    head, figures = f"{job.scenario:<21}{job.manager:<9} seed {job.seed}", row["figures"]
    if row["status"] != "finished":
        return f"{head}  {row['status']}"
    if job.scenario == ENERGY_NAME:
        return f"{head}  {figures.get('idle_wakeups_min')} wake-ups a minute"
    gap = figures.get(gap_name(job.scenario))
    shown = "no beat" if gap is None else f"{gap:.0f} ms"
    kept = f"{(figures.get('background_kept') or 0) + (figures.get('small_kept') or 0)} kept"
    return f"{head}  {shown:>8}, {kept}, kernel OOM kills {figures.get('oom_kill_delta')}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
