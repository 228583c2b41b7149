"""``lmkd dbus``: the bridge to D-Bus, for GLib's GMemoryMonitor and whoever else knows LowMemoryMonitor."""

from __future__ import annotations

import argparse

from lmkd.cli.render import add_socket_option


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``lmkd dbus``."""
    parser = subparsers.add_parser(
        "dbus",
        help="tell the level of pressure on the system bus",
        description="Own org.freedesktop.LowMemoryMonitor on the system bus and emit LowMemoryWarning (50 low, 100 "
        "moderate, 255 critical) at each rise of the pressure, and every 15 s while it stays. Runs until it is ended.",
    )
    add_socket_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run until the bus goes away, which is an error: a supervisor starts it again."""
    from lmkd.dbus.bridge import NAME, PATH, XML, Bridge, Levels
    from lmkd.dbus.bus import Bus

    Bridge(Bus(NAME, PATH, XML), Levels(args.socket)).run()
    raise AssertionError("the bridge runs until it fails")
