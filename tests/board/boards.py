"""Owns the boards that a test session needs: each is run once, a few at a time, and its result kept for all tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from .architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE
from .archive import DEFAULT_SUITE, SUITES
from .image import ensure_base
from .packages import BoardError, ensure_tools
from .scenario import Result, Scenario, run_scenario
from .scenarios import LEAN, LEAN_64, by_name
from .sizes import sized
from .trials import trial

JOBS_DEFAULT = 2
JOBS_VARIABLE = "LMKD_BOARD_JOBS"
AGAIN_MAX = 4
"""So many boards of a session may be run a second time: an emulator shares its machine, a fault does not go away."""


def find(name: str) -> Scenario:
    """The scenario or trial of that name, a scenario on a board of another size, any of them on another board.

    NAME@trixie is NAME on the board of that suite, NAME@arm64 on the board of that architecture.
    """
    plain, _, board = name.rpartition("@")
    if plain and board in SUITES:
        return on_suite(find(plain), board)
    if plain and board in ARCHITECTURES:
        return on_architecture(find(plain), board)
    scenario = by_name(name) or trial(name) or sized(name)
    if scenario is None:
        raise BoardError(f"no scenario named {name}; see: python -m tests.board list")
    return scenario


def on_suite(scenario: Scenario, suite: str) -> Scenario:
    """The scenario on that suite's board, under a name that says so."""
    if suite == DEFAULT_SUITE:
        return replace(scenario, suite=suite)
    return replace(scenario, name=f"{scenario.name}@{suite}", about=f"{scenario.about} ({suite})", suite=suite)


def on_architecture(scenario: Scenario, architecture: str) -> Scenario:
    """The scenario on that architecture's board, under a name that says so."""
    if architecture == DEFAULT_ARCHITECTURE:
        return replace(scenario, architecture=architecture)
    name, about = f"{scenario.name}@{architecture}", f"{scenario.about} ({architecture})"
    bounds = tuple(LEAN_64 if bound == LEAN else bound for bound in scenario.bounds)
    return replace(scenario, name=name, about=about, architecture=architecture, bounds=bounds)


def jobs() -> int:
    """How many boards run side by side: as many as the machine has processors, two at most unless told."""
    told = os.environ.get(JOBS_VARIABLE, "")
    return max(1, int(told)) if told.isdigit() else min(JOBS_DEFAULT, os.cpu_count() or 1)


class Boards:
    """Starts the boards that are wanted, longest first, when the first result is asked for."""

    def __init__(self, wanted: Iterable[str], say: Callable[[str], None]) -> None:
        self._wanted = sorted({find(name).name for name in wanted}, key=_length, reverse=True)
        self._say = say
        self._runs: dict[str, Future[Result]] = {}
        self._again: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._begun_s = time.monotonic()

    def result(self, name: str) -> Result:
        """The result of that board; waits for it. Raises what its run raised."""
        if self._pool is None:
            self._start()
        return self._runs[name].result()

    def again(self, name: str) -> None:
        """Run that board a second time, once in a session: what a test says of it then counts. Few may be; aloud."""
        if name in self._again or len(self._again) >= AGAIN_MAX or self._pool is None:
            return
        self._again.add(name)
        self._say(f"{name}: a test of it failed; once again")
        self._runs[name] = self._pool.submit(self._run, name)

    def results(self) -> tuple[Result, ...]:
        """The results of all boards of this session."""
        return tuple(self.result(name) for name in self._wanted)

    def close(self) -> None:
        """Wait for the boards that run; those that did not start yet never will."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _start(self) -> None:
        for architecture in sorted({find(name).architecture for name in self._wanted}):
            ensure_tools(self._say, architecture)  # once, before several ask for them at a time
        self._say(f"{len(self._wanted)} boards, {jobs()} at a time: {', '.join(self._wanted)}")
        self._pool = ThreadPoolExecutor(jobs(), "board")
        for name in self._wanted:
            self._runs[name] = self._pool.submit(self._run, name)

    def _run(self, name: str) -> Result:
        scenario = find(name)
        base = ensure_base(self._say, scenario.suite, scenario.init, scenario.architecture)
        result = run_scenario(scenario, base, lambda text: None)
        worst = result.figures.get("gap_worst_ms")
        gap = f", worst gap {worst:.0f} ms" if isinstance(worst, float) else ""
        passed = time.monotonic() - self._begun_s
        self._say(f"[{passed:5.0f} s] {name}: {result.outcome.status}{gap}")
        return result


def _length(name: str) -> int:
    scenario = find(name)
    return scenario.seconds + scenario.after_s
