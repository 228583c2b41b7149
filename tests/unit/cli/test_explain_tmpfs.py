"""``lmkd explain tmpfs``: from the running lmkd, and without one."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from lmkd.cli.explain_tmpfs import tmpfs_lines
from lmkd.cli.main import main
from lmkd.helper.survey import survey
from lmkd.plan import TmpfsRule
from tests.unit.control.fakes import FakeSource, listening, serve_connection

SEEN: dict[str, Any] = {
    "shmem_kib": 90_000,
    "swapped_share": 0.25,
    "complete": False,
    "mounts": [
        {"path": "/tmp", "used_kib": 102_400, "size_kib": 204_800, "limit_kib": 51_200, "delete": ["*.log"]},
        {"path": "/dev/shm", "used_kib": None, "size_kib": None, "limit_kib": None, "delete": [], "tell": "/bin/x"},
    ],
    "files": [{"name": "/memfd:a b (deleted)", "kind": "memfd", "kib": 2048, "pids": [7, 8]}],
    "holders": [{"pid": 7, "name": "viewer", "held_kib": 2048, "gain_kib": 0}],
    "not_mounted": ["/run/x"],
}


def test_mounts_files_and_holders_are_shown_with_what_has_to_be_said() -> None:
    text = "\n".join(tmpfs_lines(SEEN, False, 500))
    for said in ("/tmp", "100.0 MB", "50.0 MB", "*.log", "memfd", "7, 8", "viewer", "25%", "no tmpfs at /run/x"):
        assert said in text, said
    assert "Not every process could be looked at" in text


def test_an_older_answer_that_lacks_something_is_shown_as_far_as_it_goes() -> None:
    assert tmpfs_lines({}, False, 80)[0].startswith("TMPFS")


def test_the_running_lmkd_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = FakeSource()
    source.files = SEEN

    def serve(connection: socket.socket) -> None:
        serve_connection(connection, source)

    with listening(tmp_path / "control", serve) as path:
        assert main(["explain", "tmpfs", "--json", "--socket", path]) == 0
    assert json.loads(capsys.readouterr().out) == SEEN


def test_without_a_running_lmkd_it_is_looked_at_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "tmpfs", "--json", "--socket", str(tmp_path / "none")]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["mounts"] and "what can be seen from here" in out.err


def test_a_survey_names_who_holds_what_and_the_rules() -> None:
    descriptor = os.memfd_create("surveyed")
    os.write(descriptor, b"x" * 300_000)
    rules = (TmpfsRule("/dev/shm", 99, ("*",), "", "f:1"), TmpfsRule("/nonexistent", 0, ("*",), "", "f:2"))
    try:
        seen = survey("/proc", [os.getpid()], {os.getpid(): "me"}, rules, 1.0)
    finally:
        os.close(descriptor)
    (file,) = [one for one in seen["files"] if "surveyed" in one["name"]]
    assert (file["kib"], file["ends_with_holders"], file["pids"]) == (296, True, [os.getpid()])
    (holder,) = [one for one in seen["holders"] if one["pid"] == os.getpid()]
    assert holder["name"] == "me" and holder["gain_kib"] >= 200
    assert seen["not_mounted"] == ["/nonexistent"]
    assert next(one for one in seen["mounts"] if one["path"] == "/dev/shm")["delete"] == ["*"]
    assert json.dumps(seen)
