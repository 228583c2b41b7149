"""Real processes that a test starts and ends by their own ids."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmkd.kernel.capabilities import parse_abilities

SLEEP = "import signal, time; print('ready', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"

needs_nice = pytest.mark.skipif(
    not parse_abilities(Path("/proc/self/status").read_text()).has("CAP_SYS_NICE"),
    reason="giving back a share of the processor takes CAP_SYS_NICE",
)


@contextlib.contextmanager
def child(script: str = SLEEP) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that sleeps, ended at the latest when the block is left."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        with contextlib.suppress(OSError):
            # At nice 19 it would take long to die where others are busy.
            for thread in os.listdir(f"/proc/{process.pid}/task"):
                os.setpriority(os.PRIO_PROCESS, int(thread), os.getpriority(os.PRIO_PROCESS, 0))
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
