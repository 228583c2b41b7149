"""Records as a real journald and a real syslogd take them, each in a namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.source_tree import ROOT

JOURNALD = "/lib/systemd/systemd-journald"
APART = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc")
RECORD = (
    b'{"event":"kill","level":"warning","timestamp":1700000000.5,"seq":3,"t_ms":5.0,"pid":7,"name":"my \\"app\\"",'
    b'"reason":"headroom below its floor","numbers":[1,2],"nothing":null}'
)
SEND = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from lmkd.helper.log_targets import Target
target = Target(sys.argv[1])
assert target.write({RECORD!r})
"""
WITH_JOURNALD = f"""
mount -t tmpfs none /run && mkdir -p /run/systemd/journal /run/log/journal
{JOURNALD} & journald=$!
until [ -S /run/systemd/journal/socket ]; do sleep 0.05; done
"$1" -c "$2" journald && sleep 0.3 && kill $journald && wait $journald
journalctl --directory=/run/log/journal/$(cat /etc/machine-id) --output=json LMKD_EVENT=kill
"""
WITH_SYSLOGD = """
mount -t tmpfs none /dev && mknod /dev/null c 1 3
busybox syslogd -n -O "$3" & syslogd=$!
until [ -S /dev/log ]; do sleep 0.05; done
"$1" -c "$2" syslog && sleep 0.3; kill $syslogd && wait $syslogd
cat "$3"
"""


def run(script: str, *arguments: str) -> str:
    command = [*APART, "sh", "-c", script, "sh", sys.executable, SEND, *arguments]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if os.getuid() or "Operation not permitted" in ran.stderr:
        pytest.skip(f"no right to make namespaces: {ran.stderr}")
    return ran.stdout


def test_journald_has_every_field_and_can_be_asked_for_them() -> None:
    if not os.path.exists(JOURNALD) or not shutil.which("journalctl") or not Path("/etc/machine-id").exists():
        pytest.skip("no systemd-journald here (Debian: systemd)")
    entry = json.loads(run(WITH_JOURNALD))
    expected = {
        "MESSAGE": 'kill pid=7 name="my "app"" reason="headroom below its floor" numbers=[1,2] nothing=""',
        "PRIORITY": "4", "SYSLOG_IDENTIFIER": "lmkd", "LMKD_EVENT": "kill", "LMKD_PID": "7", "LMKD_NAME": 'my "app"',
        "LMKD_REASON": "headroom below its floor", "LMKD_SEQ": "3", "LMKD_NUMBERS": "[1,2]", "_TRANSPORT": "journal",
    }  # fmt: skip
    assert {key: entry.get(key) for key in expected} == expected


def test_syslogd_understands_priority_time_and_tag(tmp_path: Path) -> None:
    if not shutil.which("busybox"):
        pytest.skip("busybox is not installed (Debian: busybox-static)")
    lines = run(WITH_SYSLOGD, str(tmp_path / "messages")).splitlines()
    line = next(line for line in lines if "lmkd[" in line)
    assert line.startswith(("Nov 14 ", "Nov 15 "))
    assert " daemon.warn lmkd[" in line
    assert line.endswith(': kill pid=7 name="my "app"" reason="headroom below its floor" numbers=[1,2] nothing=""')
