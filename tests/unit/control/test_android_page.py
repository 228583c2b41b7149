"""docs/android.md says what the code does."""

from __future__ import annotations

import re

from lmkd.control import android
from lmkd.control.android_shared import CONNECTIONS_MAX
from tests.unit.source_tree import ROOT

PAGE = (ROOT / "docs/android.md").read_text(encoding="utf-8")


def test_the_page_has_every_command_by_its_number() -> None:
    rows = {int(number): name for number, name in re.findall(r"^\| (\d+) \| (\w+) \|", PAGE, re.MULTILINE)}
    assert rows == {getattr(android, name): name for name in rows.values()}
    assert sorted(rows) == list(range(12))


def test_the_page_has_the_limits() -> None:
    assert f"{CONNECTIONS_MAX} connections are served" in PAGE
    assert f"1 to {android.TARGETS_MAX} pairs" in PAGE
    assert f"1 to {android.BATCH_MAX} times" in PAGE
    assert f"{android.ADJ_MIN} to {android.ADJ_MAX}" in PAGE
