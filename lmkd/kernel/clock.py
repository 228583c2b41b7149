"""The clock that everything here is timed by: CLOCK_MONOTONIC, as ``t_ms`` in the records."""

from __future__ import annotations

import time


def now_ms() -> float:
    """Milliseconds since some point in the past; it never goes back."""
    return time.monotonic_ns() / 1e6
