"""Owns the scenarios on boards of other sizes: the same loads, their memory in proportion to the board's."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .scenario import Scenario
from .scenarios import ALIVE, NO_KERNEL_KILL, by_name

REFERENCE_MB = 256
SCALED = re.compile(r"\b(anon|file|size|limit|total)=(\d+)([KMG])\b")
UNITS_KIB = {"K": 1, "M": 1024, "G": 1024 * 1024}
RESIZED_NAMES = ("grow-30-comp", "grow-30-incomp", "small-150")


@dataclass(frozen=True, slots=True)
class Size:
    """One board: memory in MB, and how many processors."""

    mem_mb: int
    cpus: int = 1

    def __str__(self) -> str:
        return f"{self.mem_mb}" + (f"x{self.cpus}" if self.cpus > 1 else "")

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.mem_mb} MB, {self.cpus} core" + ("s" if self.cpus > 1 else "")


SIZES = (Size(64), Size(128), Size(512), Size(REFERENCE_MB, 2))


def scaled_load(option: str, mem_mb: int) -> str:
    """A load option with its sizes in proportion to the board; rates stay, they belong to the application."""

    def scale(found: re.Match[str]) -> str:
        name, number, unit = found.groups()
        return f"{name}={int(number) * UNITS_KIB[unit] * mem_mb // REFERENCE_MB}K"

    return SCALED.sub(scale, option)


def resized(scenario: Scenario, size: Size) -> Scenario:
    """The scenario on a board of that size: what must hold there is that nothing is left to the kernel."""
    return replace(
        scenario,
        name=f"{scenario.name}@{size}",
        about=f"{scenario.name} on {size.text}",
        load=tuple(scaled_load(option, size.mem_mb) for option in scenario.load),
        mem_mb=size.mem_mb,
        cpus=size.cpus,
        bounds=(ALIVE, NO_KERNEL_KILL),
    )


def sized(name: str) -> Scenario | None:
    """The scenario of a name such as grow-30-comp@64 or small-150@256x2, None for any other."""
    plain, _, wanted = name.partition("@")
    scenario = by_name(plain)
    size = next((size for size in SIZES if str(size) == wanted), None)
    return resized(scenario, size) if scenario is not None and size is not None else None


RESIZED = tuple(f"{name}@{size}" for size in SIZES for name in RESIZED_NAMES)
