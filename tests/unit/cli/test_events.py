"""``lmkd events --follow``: each record once, over restarts, until lmkd has gone for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lmkd.cli.events import followed
from lmkd.errors import ControlError
from tests.unit.cli.orders import FakeDaemon, listening


def records(*numbers: int) -> list[dict[str, Any]]:
    return [{"seq": number, "event": "trim"} for number in numbers]


def test_a_connection_that_ends_does_not_end_the_follower(tmp_path: Path) -> None:
    """This daemon ends the stream, or the connection, after what there is."""
    daemon = FakeDaemon([], records(1, 2), {"started_ms": 1.0})
    with listening(tmp_path / "c", daemon) as path:
        told = followed(path, 2)
        assert next(told)["seq"] == 2
        daemon.events += records(3)
        daemon.end_all()
        assert next(told)["seq"] == 3
        daemon.events += records(4, 5)
        assert [next(told)["seq"] for _ in range(2)] == [4, 5]


def test_another_lmkd_numbers_its_records_anew(tmp_path: Path) -> None:
    daemon = FakeDaemon([], records(1, 2, 3), {"started_ms": 1.0})
    with listening(tmp_path / "c", daemon) as path:
        told = followed(path, 3)
        assert next(told)["seq"] == 3
    daemon.state, daemon.events = {"started_ms": 2.0}, records(1)
    with listening(tmp_path / "c", daemon):
        assert next(told)["seq"] == 1


def test_an_lmkd_that_has_gone_for_good_ends_it(tmp_path: Path) -> None:
    with listening(tmp_path / "c", FakeDaemon([], records(1), {"started_ms": 1.0})) as path:
        told = followed(path, 0, gone_s=0.3)
        next(told)
    with pytest.raises(ControlError):
        next(told)
    with pytest.raises(ControlError, match="not running here"):
        next(followed(str(tmp_path / "none"), 0))
