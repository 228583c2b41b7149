"""Owns the runs of the comparison on disk: each with a stamp of all that it depends on, so that none is made twice."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .archive import DEFAULT_SUITE
from .boards import find
from .image import GUEST_DIR, base_key
from .layer import CHECKOUT, LOAD_DIR
from .scenario import Manager, Scenario, guest_script

STORE = CHECKOUT / "build/bench/results.json"
GUEST_FILES = ("init.sh", "measure.sh", "costs.c")


@dataclass(frozen=True, slots=True)
class Job:
    """One run that the comparison needs."""

    scenario: str
    manager: Manager
    seed: int
    suite: str = DEFAULT_SUITE

    @property
    def key(self) -> str:
        """Its name in the file of results."""
        board = "" if self.suite == DEFAULT_SUITE else f"/{self.suite}"
        return f"{self.scenario}/{self.manager}/{self.seed}{board}"

    @property
    def wanted(self) -> Scenario:
        """The scenario with this manager and seed, on this suite's board."""
        return replace(find(self.scenario), manager=self.manager, seed=self.seed, suite=self.suite)


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
        return row if row is not None and row["stamp"] == stamp(job) else None

    def put(self, job: Job, row: dict[str, Any], made_with: str) -> None:
        """Keep it; `made_with` is the stamp from before the run, as sources may change while it runs."""
        with self._lock:
            self._rows[job.key] = {**row, "stamp": made_with}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(self._rows, indent=1), encoding="utf-8")
            part.replace(self._path)


def stamp(job: Job) -> str:
    """What a run depends on: board, load generator, this scenario's own definition; for lmkd also its source.

    Bounds are not part of it: they are held against the figures when the page is written.
    """
    scenario = job.wanted
    files = [*LOAD_DIR.glob("*.[ch]"), *(GUEST_DIR / name for name in GUEST_FILES)]
    if job.manager == "lmkd":
        files += list((CHECKOUT / "lmkd").rglob("*.py"))
    total = hashlib.sha256(base_key(scenario.suite).encode())
    machine = (scenario.mem_mb, scenario.cpus, scenario.flash_bytes_per_s, scenario.append, scenario.udev)
    total.update(repr((guest_script(scenario), scenario.config, machine)).encode())
    for path in sorted(files):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]
