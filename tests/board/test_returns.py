"""What deaths give back on a board, beside what lmkd predicted; the tables are by ``python -m tests.board.returns``."""

from __future__ import annotations

import statistics

import pytest

from tests.board.returns import error_pct, returned_kib
from tests.board.scenario import Result

ERROR_MAX_PCT = 10.0
pytestmark = [pytest.mark.board, pytest.mark.runs("deaths")]


def test_what_was_predicted_of_unlike_applications_comes_back_with_compaction(result: Result) -> None:
    deaths = [record for record in result.outcome.records if record.get("kind") == "death"]
    assert len(deaths) == 8
    assert statistics.median(error_pct(death, "after") for death in deaths) <= ERROR_MAX_PCT, deaths
    returned = [returned_kib(death, "after") for death in deaths]
    assert max(returned) > 2 * min(returned)  # or one prediction for all would do
