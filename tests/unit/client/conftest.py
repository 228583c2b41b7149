"""The fake lmkd as a fixture: whatever a test does, no request may have broken the schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.client.fake_server import FakeLmkd


@pytest.fixture
def absent(tmp_path: Path) -> Iterator[FakeLmkd]:
    """Not started yet."""
    server = FakeLmkd(tmp_path / "control")
    yield server
    server.stop()
    assert server.faults == []


@pytest.fixture
def server(absent: FakeLmkd) -> FakeLmkd:
    return absent.start()
