"""`lmkd dbus` on a real bus, with our policy file, heard by GLib's own GMemoryMonitor."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.source_tree import ROOT

SYSTEM_PYTHON = "/usr/bin/python3"
CLIENT = """
import gi, sys
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib
monitor = Gio.MemoryMonitor.dup_default()
loop, left = GLib.MainLoop(), [3]
def warned(monitor, level):
    print(int(level), flush=True)
    left[0] -= 1
    left[0] or loop.quit()
monitor.connect("low-memory-warning", warned)
# GLib looks for the bridge in the main loop; a warning before it has found it is nobody's.
GLib.timeout_add(1500, lambda: print(type(monitor).__name__, flush=True))
GLib.timeout_add_seconds(60, loop.quit)
loop.run()
"""
CONFIG = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={base}/bus</listen>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
  </policy>
  <include>{policy}</include>
</busconfig>
"""
"""As Debian's /usr/share/dbus-1/system.conf restricts everybody, so that our file is what allows."""


def missing() -> str:
    """What of a real bus and a real client is not here; empty when all is."""
    if not shutil.which("dbus-daemon"):
        return "dbus-daemon is not installed (Debian: dbus-daemon)"
    probe = 'import gi; gi.require_version("Gio", "2.0"); from gi.repository import Gio; Gio.MemoryMonitor'
    command = [SYSTEM_PYTHON, "-c", probe]
    if not os.path.exists(SYSTEM_PYTHON) or subprocess.run(command, check=False, capture_output=True).returncode:
        return "no GLib 2.64 with Python's gi (Debian: python3-gi gir1.2-glib-2.0)"
    return "" if os.getuid() == 0 else "the policy lets root alone have the name: run as root"


MISSING = missing()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


class Stage:
    """A bus, a control socket, the bridge between them, and whoever else is started."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.running: list[subprocess.Popen[str]] = []
        policy = ROOT / "configs" / "dbus" / "org.freedesktop.LowMemoryMonitor.conf"
        (base / "bus.conf").write_text(CONFIG.format(base=base, policy=policy))
        self.environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={base}/bus", "PYTHONPATH": str(ROOT)}
        self.start("dbus-daemon", "--nofork", "--nopidfile", f"--config-file={base}/bus.conf")
        self.until((base / "bus").is_socket)
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.bind(str(base / "control"))
        self.control.listen()
        self.control.settimeout(30)
        self.bridge = self.start(sys.executable, "-m", "lmkd", "dbus", "--socket", str(base / "control"))
        self.subscriber, _ = self.control.accept()
        self.subscriber.recv(4096)
        self.say(subscribed={"level": "calm"})

    def start(self, *command: str) -> subprocess.Popen[str]:
        self.running.append(
            subprocess.Popen(command, env=self.environment, cwd=self.base, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        )  # fmt: skip
        return self.running[-1]

    def until(self, found: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not found():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def say(self, **fields: object) -> None:
        self.subscriber.send(json.dumps({"v": 1, "ok": True, **fields}).encode())

    def close(self) -> None:
        for process in reversed(self.running):
            process.terminate()
            process.communicate(timeout=10)
        self.subscriber.close()
        self.control.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def test_glibs_memory_monitor_hears_the_levels(stage: Stage) -> None:
    client = stage.start(SYSTEM_PYTHON, "-c", CLIENT)
    assert client.stdout is not None
    assert client.stdout.readline().lower() == "gmemorymonitordbus\n"
    for level in ("low", "moderate", "critical"):
        stage.say(level={"level": level, "previous": "calm"})
        time.sleep(0.1)
    assert [client.stdout.readline() for _ in range(3)] == ["50\n", "100\n", "255\n"]


def test_any_program_can_ask_what_it_is_but_no_other_can_be_it(stage: Stage) -> None:
    name = "org.freedesktop.LowMemoryMonitor"
    asked = stage.start("dbus-send", "--system", "--print-reply", f"--dest={name}", "/org/freedesktop/LowMemoryMonitor",
                        "org.freedesktop.DBus.Introspectable.Introspect")
    out, err = asked.communicate(timeout=30)
    assert 'signal name="LowMemoryWarning"' in out, err
    asked = stage.start("dbus-send", "--system", "--print-reply", f"--dest={name}", "/", f"{name}.Nothing")
    assert "denied" in asked.communicate(timeout=30)[1] or asked.returncode
    second = stage.start(sys.executable, "-m", "lmkd", "dbus", "--socket", "/nonexistent")
    out, err = second.communicate(timeout=30)
    assert (second.returncode, err) == (1, f"lmkd: {name} belongs to another program already: is low-memory-monitor "
                                           "running?\n")


def test_the_bridge_ends_when_the_bus_does(stage: Stage) -> None:
    stage.running[0].terminate()
    _, err = stage.bridge.communicate(timeout=30)
    assert (stage.bridge.returncode, err) == (1, "lmkd: the bus has ended the connection\n")


def test_the_service_files_name_what_the_bridge_owns() -> None:
    folder = ROOT / "configs" / "dbus"
    for file in folder.iterdir():
        assert "org.freedesktop.LowMemoryMonitor" in file.read_text(), file
