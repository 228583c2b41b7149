"""Owns the comparison with no manager and with the peers: runs what is missing, keeps every result, writes the page."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .archive import host_suite
from .boards import find, jobs
from .image import GUEST_DIR, Base, base_key, ensure_base
from .layer import CHECKOUT, LOAD_DIR
from .packages import BoardError, Progress
from .page import write_page
from .scenario import Manager, run_scenario
from .versions import Versions, read_versions

SCENARIO_NAMES = (
    "fits-150", "grow-5-comp", "grow-5-incomp", "grow-30-comp", "grow-30-incomp", "grow-300-comp",
    "grow-300-incomp", "small-150", "tmpfs-280", "respawn",
)  # fmt: skip
MANAGERS: tuple[Manager, ...] = ("none", "earlyoom", "nohang", "lmkd")
KEPT_FIGURES = (
    "gap_worst_ms", "gaps_over_33ms", "beats", "background_kept", "background_total", "small_kept", "small_total",
    "oom_kill_delta", "foreground_alive", "manager_pss_kib", "manager_alive", "grow_died", "respawn_deaths",
    "tmpfs_written_mb", "deaths",
)  # fmt: skip
STORE = CHECKOUT / "build/bench/results.json"


@dataclass(frozen=True, slots=True)
class Job:
    """One run that the comparison needs."""

    scenario: str
    manager: Manager
    seed: int

    @property
    def key(self) -> str:
        """Its name in the file of results."""
        return f"{self.scenario}/{self.manager}/{self.seed}"


class Results:
    """The runs so far, on disk after each: an interrupted comparison goes on where it stopped."""

    def __init__(self, path: Path, fresh: bool) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, Any]] = {}
        if path.is_file() and not fresh:
            self._rows = json.loads(path.read_text(encoding="utf-8"))

    def get(self, job: Job) -> dict[str, Any] | None:
        """What that run gave, if it was made with what is in the checkout now."""
        row = self._rows.get(job.key)
        return row if row is not None and row["stamp"] == stamp(job.manager) else None

    def put(self, job: Job, row: dict[str, Any]) -> None:
        """Keep it."""
        with self._lock:
            self._rows[job.key] = {**row, "stamp": stamp(job.manager)}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(self._rows, indent=1), encoding="utf-8")
            part.replace(self._path)


def stamp(manager: Manager) -> str:
    """What a run of that manager depends on: board, load, guest scripts, and lmkd's source for lmkd."""
    files = [*LOAD_DIR.glob("*.[ch]"), GUEST_DIR / "init.sh", Path(__file__).parent / "scenarios.py"]
    if manager == "lmkd":
        files += list((CHECKOUT / "lmkd").rglob("*.py"))
    total = hashlib.sha256(base_key(host_suite()).encode())
    for path in sorted(files):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


def jobs_of(names: Iterable[str], managers: Iterable[Manager], seeds: int) -> list[Job]:
    """All runs, a scenario's managers one after the other."""
    return [
        Job(find(name).name, manager, seed) for name in names for manager in managers for seed in range(1, seeds + 1)
    ]


def run_job(job: Job, base: Base) -> dict[str, Any]:
    """Boot one board; what it gave, also when it died."""
    scenario = replace(find(job.scenario), manager=job.manager, seed=job.seed)
    result = run_scenario(scenario, base, lambda text: None)
    figures = {name: result.figures.get(name) for name in KEPT_FIGURES}
    seconds = round(result.outcome.host_seconds, 1)
    return {"status": result.outcome.status, "host_seconds": seconds, "figures": figures}


def compare(only: Sequence[str], managers: Sequence[Manager], seeds: int, out: Path, fresh: bool, say: Progress) -> int:
    """Run what is missing, then write the page and its pictures; 1 when a board gave no result."""
    wanted = jobs_of(only or SCENARIO_NAMES, managers or MANAGERS, seeds)
    if not wanted:
        raise BoardError("nothing to compare")
    base = ensure_base(say)
    results = Results(STORE, fresh)
    versions = read_versions(base, say)
    missing = [job for job in wanted if (results.get(job) or {}).get("status") != "finished"]
    say(f"{len(wanted)} runs, {len(wanted) - len(missing)} of them kept from before in {STORE.relative_to(CHECKOUT)}")
    _run_all(missing, base, results, say)
    return _write(wanted, results, versions, out, say)


def _run_all(missing: Sequence[Job], base: Base, results: Results, say: Progress) -> None:
    begun = time.monotonic()
    with ThreadPoolExecutor(jobs(), "bench") as pool:
        try:
            futures = {pool.submit(run_job, job, base): job for job in missing}
            for done, future in enumerate(as_completed(futures), start=1):
                job, row = futures[future], future.result()
                results.put(job, row)
                passed = time.monotonic() - begun
                left = passed / done * (len(missing) - done)
                say(f"{done:3}/{len(missing)}  {_clock(passed)} passed, {_clock(left)} left  {_line(job, row)}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _line(job: Job, row: dict[str, Any]) -> str:
    figures = row["figures"]
    if row["status"] != "finished":
        return f"{job.scenario:<16}{job.manager:<10}{row['status']}"
    gap, kernel = figures["gap_worst_ms"], figures["oom_kill_delta"]
    shown = "no beat" if gap is None else f"{gap:7.0f} ms"
    return f"{job.scenario:<16}{job.manager:<10}{shown}, kernel OOM kills {kernel}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _write(wanted: Sequence[Job], results: Results, versions: Versions, out: Path, say: Progress) -> int:
    rows = [(job.scenario, job.manager, results.get(job)) for job in wanted]
    found = [(scenario, manager, row) for scenario, manager, row in rows if row is not None]
    for path in write_page(found, versions, out):
        say(f"wrote {path}")
    failed = [f"{scenario}/{manager}" for scenario, manager, row in found if row["status"] != "finished"]
    if failed or len(found) < len(rows):
        say(f"no result: {', '.join(failed) or 'some runs'}")
        return 1
    return 0
