"""Owns the processors that a board can have: Debian's name, kernel, emulated machine and cross compiler of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """One processor, as Debian knows it."""

    name: str  # Debian's
    kernel: str  # package
    emulator: str  # command
    machine: tuple[str, ...]  # its options
    compiler: str  # command
    tools: tuple[tuple[str, str], ...]  # what the host needs for this one alone: command and Debian package
    # A static program needs the C library's headers and archive, and those are no tool on the PATH.
    library: str


_ALL = (
    Architecture(
        "armhf", "linux-image-armmp",
        "qemu-system-arm", ("-M", "virt,highmem=off", "-cpu", "cortex-a15"),
        "arm-linux-gnueabihf-gcc",
        (("qemu-system-arm", "qemu-system-arm"), ("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf")),
        "libc6-dev-armhf-cross",
    ),
    Architecture(
        "arm64", "linux-image-arm64",
        "qemu-system-aarch64", ("-M", "virt,highmem=off", "-cpu", "cortex-a53"),
        "aarch64-linux-gnu-gcc",
        (("qemu-system-aarch64", "qemu-system-arm"), ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")),
        "libc6-dev-arm64-cross",
    ),
)  # fmt: skip
ARCHITECTURES: Mapping[str, Architecture] = {architecture.name: architecture for architecture in _ALL}
DEFAULT_ARCHITECTURE = "armhf"
