"""The talker's standing: while somebody relies on it, it stays in memory, and waits ahead of others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lmkd.control.standing import ADJ_ALONE, Standing


class Kernel:
    """Takes the C library's calls and the scheduler's."""

    def __init__(self, refuses: bool = False) -> None:
        self.said: list[Any] = []
        self._refuses = refuses

    def call(self, function: str, *arguments: object) -> int:
        self.said.append(function)
        return self._answer()

    def schedule(self, pid: int, policy: int, parameter: os.sched_param) -> None:
        self.said.append((policy, parameter.sched_priority))
        self._answer()

    def _answer(self) -> int:
        if self._refuses:
            raise PermissionError(1, "not permitted")
        return 0


def standing(base: Path, kernel: Kernel) -> Standing:
    (base / "self").mkdir()
    (base / "self/oom_score_adj").write_text("-900\n")
    return Standing(str(base), 4, kernel, kernel.schedule)  # type: ignore[arg-type]


def test_nobody_is_delayed_for_clients_that_only_ask(tmp_path: Path) -> None:
    kernel = Kernel()
    made = standing(tmp_path, kernel)
    made.set(False)
    made.wait()
    made.work()
    assert kernel.said == ["munlockall"]
    assert (tmp_path / "self/oom_score_adj").read_bytes().startswith(ADJ_ALONE)


def test_while_somebody_relies_on_it_it_is_locked_and_waits_ahead_of_others(tmp_path: Path) -> None:
    kernel = Kernel()
    made = standing(tmp_path, kernel)
    for _ in range(2):
        made.set(True)
        made.wait()
        made.work()
    assert kernel.said == ["mlockall", *[(os.SCHED_RR, 1), (os.SCHED_OTHER, 0)] * 2]
    assert (tmp_path / "self/oom_score_adj").read_bytes().strip() == b"-900"
    made.set(False)
    made.wait()
    made.work()
    assert kernel.said[5:] == ["munlockall"]


def test_after_the_last_has_gone_it_still_goes_back(tmp_path: Path) -> None:
    kernel = Kernel()
    made = standing(tmp_path, kernel)
    made.set(True)
    made.wait()
    made.set(False)
    made.work()
    made.work()
    assert kernel.said[-1] == (os.SCHED_OTHER, 0) and len(kernel.said) == 4


@pytest.mark.parametrize("adj", [True, False])
def test_what_is_not_permitted_is_done_without(tmp_path: Path, adj: bool) -> None:
    kernel = Kernel(refuses=True)
    made = standing(tmp_path, kernel)
    if not adj:
        (tmp_path / "self/oom_score_adj").unlink()
    made.set(True)
    for _ in range(3):
        made.wait()
        made.work()
    assert kernel.said == ["mlockall", (os.SCHED_RR, 1)]
