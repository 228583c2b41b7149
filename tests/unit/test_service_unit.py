"""The unit of systemd against the code: each right that lmkd uses is granted, and the watchdog costs no wake-up."""

from __future__ import annotations

import re

import pytest

from lmkd.errors import EXIT_OK
from lmkd.kernel.capabilities import _TABLE
from lmkd.kernel.syscalls import _SAME_EVERYWHERE
from lmkd.policy.wake import AFTER_SEEN_MS
from tests.unit.source_tree import ROOT

UNIT = ROOT / "configs/init/lmkd.service"
LINES = [line for line in UNIT.read_text(encoding="utf-8").splitlines() if "=" in line and not line.startswith("#")]


def values(key: str) -> list[str]:
    """All words that are given for the key, in all its lines."""
    return [word for line in LINES for name, _, rest in [line.partition("=")] if name == key for word in rest.split()]


@pytest.mark.parametrize("name", [name for _bit, name, _cost in _TABLE])
def test_it_has_each_capability_that_lmkd_says_it_uses(name: str) -> None:
    assert name in values("CapabilityBoundingSet")


@pytest.mark.parametrize("name", [name for name, _number in _SAME_EVERYWHERE] + ["perf_event_open", "mincore", "@swap"])
def test_it_may_make_each_call_that_is_in_no_common_set(name: str) -> None:
    assert name in values("SystemCallFilter")


def test_what_the_filter_refuses_is_an_error_and_not_the_end() -> None:
    assert values("SystemCallErrorNumber") == ["EPERM"]


def test_every_socket_that_lmkd_opens_is_of_a_family_that_it_may_open() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "lmkd").rglob("*.py"))
    used = set(re.findall(r"socket\.(AF_[A-Z]+)", sources))
    assert used and used <= set(values("RestrictAddressFamilies"))


def test_an_idle_guard_feeds_the_watchdog_with_the_wake_ups_that_it_has() -> None:
    (period_s,) = values("WatchdogSec")
    assert int(period_s) * 1000 / 2 > AFTER_SEEN_MS["calm"]


def test_only_the_guard_is_heard_and_an_end_is_not_the_end() -> None:
    assert (values("Type"), values("NotifyAccess"), values("Restart")) == (["notify"], ["main"], ["always"])
    assert str(EXIT_OK) not in values("RestartPreventExitStatus")


NAMESPACED = ("ProtectSystem", "ProtectHome", "ProtectHostname", "PrivateTmp", "PrivateDevices", "ReadWritePaths")
HINDERING = ("PrivateNetwork", "PrivateUsers", "ProtectKernelTunables", "ProtectControlGroups", "RestrictRealtime")


@pytest.mark.parametrize("key", [*NAMESPACED, *HINDERING])
def test_what_would_hinder_the_work_or_take_a_mount_namespace_is_not_there(key: str) -> None:
    assert values(key) == []
