"""Probing the kernel: on a fake board with everything, on one with nothing, and on hostile trees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmkd.cli.doctor import render_json, render_table
from lmkd.kernel.cgroup_mount import find_cgroup2, parse_cgroup2_mount
from lmkd.kernel.features import Features, probe
from lmkd.kernel.files import Roots, roots_under
from lmkd.kernel.probe_calls import ProbeCalls, proc_listen_message
from lmkd.values import as_dict, field_names

if TYPE_CHECKING:
    from lmkd.kernel.files import AnyPath


class FakeCalls(ProbeCalls):
    """Gives the same answer to every probe: None (it works), or a reason."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__()
        self._reason = reason

    def pidfd_open(self) -> str | None:
        return self._reason

    def pidfd_send_signal(self) -> str | None:
        return self._reason

    def process_madvise(self) -> str | None:
        return self._reason

    def process_mrelease(self) -> str | None:
        return self._reason

    def perf_page_faults(self) -> str | None:
        return self._reason

    def psi_trigger(self, path: AnyPath) -> tuple[bool, str]:
        return self._reason is None, self._reason or "any window"

    def proc_connector(self) -> str | None:
        return self._reason

    def memory_lock(self) -> str | None:
        return self._reason

    def real_time(self) -> str | None:
        return self._reason

    def lower_oom_score_adj(self, path: AnyPath) -> str | None:
        return self._reason

    def libudev(self) -> str | None:
        return self._reason


FULL = {
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "proc/self/mounts": "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
    "proc/self/smaps_rollup": "",
    "proc/self/status": "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n",
    "proc/swaps": "Filename\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    "sys/fs/cgroup/memory.pressure": "",
    "sys/fs/cgroup/system.slice/memory.reclaim": "",
    "sys/fs/cgroup/system.slice/cgroup.kill": "",
    "sys/fs/cgroup/system.slice/cgroup.freeze": "0\n",
    "sys/kernel/tracing/events/vmscan/mm_vmscan_kswapd_wake/id": "493\n",
    "sys/kernel/mm/lru_gen/enabled": "0x0007\n",
    "sys/kernel/mm/lru_gen/min_ttl_ms": "0\n",
    "sys/module/zswap/parameters/enabled": "N\n",
    "sys/class/zram-control/hot_remove": "",
    "sys/class/misc/device-mapper/dev": "10:236\n",
}


def tree(base: Path, **changes: str | None) -> Roots:
    """The full board, with some files changed or (None) missing; ``__`` in a name stands for a slash."""
    files: dict[str, str | None] = {
        **FULL,
        **{name.replace("__", "/"): text for name, text in changes.items()},
    }
    for name, text in files.items():
        if text is not None:
            path = base / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return roots_under(base)


def absent(features: Features) -> set[str]:
    return {name for name, present in as_dict(features).items() if not present}


def test_a_board_with_everything_has_everything(tmp_path: Path) -> None:
    probed = probe(tree(tmp_path), FakeCalls())
    assert absent(probed.features) == set()
    assert probed.kswapd_tracepoint_id == 493
    assert probed.cgroup2_path == str(tmp_path / "sys/fs/cgroup")
    assert probed.warnings == ()


def test_a_board_with_nothing_has_nothing_and_probing_it_does_not_fail(tmp_path: Path) -> None:
    probed = probe(roots_under(tmp_path), FakeCalls("Function not implemented (ENOSYS)"))
    assert absent(probed.features) == set(field_names(Features))
    assert (probed.kswapd_tracepoint_id, probed.cgroup2_path) == (None, None)


def test_every_feature_has_a_row_with_what_is_degraded_without_it(tmp_path: Path) -> None:
    rows = probe(tree(tmp_path), FakeCalls()).rows
    assert [row.name for row in rows] == list(field_names(Features))
    assert all(row.cost for row in rows)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("proc/pressure/memory", None, {"psi", "psi_trigger"}),
        ("proc/swaps", None, {"swap"}),
        ("proc/self/smaps_rollup", None, {"smaps_rollup"}),
        ("sys/kernel/mm/lru_gen/enabled", "0x0000\n", {"lru_gen"}),
        ("sys/kernel/mm/lru_gen/enabled", "n\n", {"lru_gen"}),
        ("sys/kernel/mm/lru_gen/enabled", "", {"lru_gen"}),
        ("sys/kernel/mm/lru_gen/enabled", "y\n", set()),
        ("sys/module/zswap/parameters/enabled", None, {"zswap"}),
        ("sys/class/zram-control/hot_remove", None, {"zram"}),
        ("sys/class/misc/device-mapper/dev", None, {"device_mapper"}),
        ("sys/fs/cgroup/cgroup.controllers", "cpu io\n", {"cgroup_memory"}),
        ("sys/fs/cgroup/system.slice/cgroup.kill", None, {"cgroup_kill"}),
        ("sys/kernel/tracing/events/vmscan/mm_vmscan_kswapd_wake/id", "\u00b2\n", {"kswapd_tracepoint"}),
        ("sys/kernel/tracing/events/vmscan/mm_vmscan_kswapd_wake/id", None, {"kswapd_tracepoint"}),
    ],
)
def test_each_missing_file_costs_its_own_feature(
    tmp_path: Path, file: str, text: str | None, expected: set[str]
) -> None:
    roots = tree(tmp_path, **{file.replace("/", "__"): text})
    assert absent(probe(roots, FakeCalls()).features) == expected


def test_a_protection_time_of_mglru_is_a_warning(tmp_path: Path) -> None:
    probed = probe(tree(tmp_path, sys__kernel__mm__lru_gen__min_ttl_ms="1000\n"), FakeCalls())
    assert len(probed.warnings) == 1
    assert "min_ttl_ms is 1000: the kernel itself kills" in probed.warnings[0]


def test_memory_is_lockable_by_limit_where_the_capability_is_missing(tmp_path: Path) -> None:
    status = "Uid:\t0\t0\t0\t0\nCapEff:\t0\n"
    assert probe(tree(tmp_path, proc__self__status=status), FakeCalls()).features.mlockall
    rows = probe(tree(tmp_path, proc__self__status=status), FakeCalls("RLIMIT_MEMLOCK is 64 KiB")).rows
    assert next(row for row in rows if row.name == "mlockall").detail == "RLIMIT_MEMLOCK is 64 KiB"


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("", None),
        ("cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n", None),
        ("a /x tmpfs rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n", "/sys/fs/cgroup/unified"),
        ("cgroup2 /odd\\040place cgroup2 rw 0 0\n", "/odd place"),
        ("cgroup2\n\n x\n", None),
    ],
)
def test_the_mount_of_cgroup2_is_found(text: str, mount: str | None) -> None:
    assert parse_cgroup2_mount(text) == mount


def test_without_any_mounts_there_is_no_cgroup2(tmp_path: Path) -> None:
    assert find_cgroup2(roots_under(tmp_path)) is None


def test_the_real_probes_answer_without_failing_and_without_harm() -> None:
    calls = ProbeCalls()
    for probe_one in (
        calls.pidfd_open, calls.pidfd_send_signal, calls.process_madvise, calls.process_mrelease,
        calls.perf_page_faults, calls.proc_connector, calls.memory_lock, calls.real_time, calls.libudev,
    ):  # fmt: skip
        assert probe_one() is None or probe_one()


def test_lowering_an_adj_puts_the_old_value_back(tmp_path: Path) -> None:
    path = tmp_path / "oom_score_adj"
    path.write_text("100\n")
    assert ProbeCalls().lower_oom_score_adj(path) is None
    assert path.read_text() == "100\n"
    path.write_text("odd\n")
    assert ProbeCalls().lower_oom_score_adj(path) == "it is not a number"


def test_the_message_to_the_proc_connector_has_the_kernels_layout() -> None:
    message = proc_listen_message(7, 1)
    assert len(message) == 40
    assert int.from_bytes(message[:4], "little" if message[0] == 40 else "big") == 40


def test_the_doctors_table_says_what_is_missing_and_what_it_costs(tmp_path: Path) -> None:
    probed = probe(tree(tmp_path, proc__swaps=None, sys__kernel__mm__lru_gen__min_ttl_ms="9\n"), FakeCalls())
    text = render_table(probed, (("CAP_KILL", "only its own"),))
    lines = text.splitlines()
    assert lines[0].split() == ["feature", "here", "without", "it"]
    assert any(line.startswith("psi  ") and "yes" in line for line in lines)
    assert any(
        line.startswith("swap ") and " no " in line and "no compressed store" in line for line in lines
    )
    assert "missing CAP_KILL: only its own" in lines
    assert lines[-1].startswith("warning: ")


def test_the_doctors_json_has_every_feature(tmp_path: Path) -> None:
    found = json.loads(render_json(probe(tree(tmp_path), FakeCalls()), (("CAP_KILL", "x"),)))
    assert {row["name"] for row in found["features"]} == set(field_names(Features))
    assert found["missing_abilities"] == [{"capability": "CAP_KILL", "cost": "x"}]
