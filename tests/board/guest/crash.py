"""Kills the store's commands at each of their effects on the kernel, and looks at what the next command makes of it.

Run by crash.sh with the keeper's pid. Each way (a command, a kind of store) is one record of kind "crash": how many
effects it has, how often it was killed, and what was wrong afterwards. All in one process that forks for each command:
starting Python anew each time would take most of the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lmkd.config import load
from lmkd.errors import LmkdError
from lmkd.kernel import sysctl, zswap
from lmkd.kernel.files import system_roots
from lmkd.kernel.swap import swaps
from lmkd.store import stores
from lmkd.store.device_effects import DeviceEffects, KernelDeviceEffects
from lmkd.store.effects import Effects
from lmkd.store.move import move
from lmkd.store.state import DEFAULT_SYSCTLS, StoreSpec
from lmkd.store.wanted import wanted_here
from lmkd.values import replace

ROOTS = system_roots()
RESULTS = 3
ANSWERS = Path("/run/keeper.out")
RECLAIM = Path("/sys/fs/cgroup/keeper/memory.reclaim")
NO_EFFECT = ("lock", "settle", "zswap", "be_nice")
OTHERS = "zram0"
"""Set up by somebody else in the ways that need a device of lmkd's own."""
POINTS_MAX = 80
ANY_TIMES = 8
MIDWAY_S = (0.003, 0.008)

Command = Callable[[KernelDeviceEffects], object]


class Fuse(KernelDeviceEffects):
    """The kernel's port; the process dies by SIGKILL right before or after its ``at``-th effect."""

    def __init__(self, at: int, after: bool) -> None:
        super().__init__(ROOTS)
        self.at, self.after, self.count = at, after, 0

    def step(self, after: bool) -> None:
        """Count before, die where it is told to."""
        self.count += not after
        if (self.count, after) == (self.at, self.after):
            os.kill(os.getpid(), signal.SIGKILL)


def _fused(name: str) -> Callable[..., Any]:
    act = getattr(KernelDeviceEffects, name)

    def effect(self: Fuse, *arguments: object) -> object:
        self.step(after=False)
        done = act(self, *arguments)
        self.step(after=True)
        return done

    return effect


for _name in {*vars(Effects), *vars(DeviceEffects)}:
    if not _name.startswith("_") and _name not in NO_EFFECT:
        setattr(Fuse, _name, _fused(_name))


class Midway(KernelDeviceEffects):
    """The kernel's port; the process dies so many seconds after it began to bring pages back."""

    def __init__(self, seconds: float) -> None:
        super().__init__(ROOTS)
        self.seconds = seconds

    def swapoff(self, number: int) -> None:
        """As the kernel's, with the alarm set: its default is to end the process, also inside the system call."""
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        super().swapoff(number)
        signal.setitimer(signal.ITIMER_REAL, 0)

    def swapoff_device(self, name: str) -> None:
        """As above."""
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        super().swapoff_device(name)
        signal.setitimer(signal.ITIMER_REAL, 0)


def say(event: str, fields: dict[str, object]) -> None:
    """The commands' reports are of no interest, but for what they could not do."""
    if event == "degraded":
        print(event, fields, flush=True)


def up_of(spec: StoreSpec) -> Command:
    """``lmkd store up``."""
    return lambda port: stores.bring_up(ROOTS, spec, say, port)


def down(port: KernelDeviceEffects) -> None:
    """``lmkd store down``."""
    stores.take_down(ROOTS, say, effects=port)


def move_to(spec: StoreSpec) -> Command:
    """``lmkd store move``."""
    return lambda port: move(ROOTS, spec, say, port)


def run(command: Command, port: KernelDeviceEffects, alarm_s: float = 0) -> int:
    """The command in a process of its own; its exit code, or the signal that ended it as a negative number.

    ``alarm_s``: when it is ended, wherever it is; 0: never.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.setitimer(signal.ITIMER_REAL, alarm_s)
            command(port)
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def board() -> dict[str, Any]:
    """All that a store may change, by name."""
    block = ROOTS.sys / "block"
    names = sorted(os.listdir(block))
    return {
        "swaps": [entry.path for entry in swaps(ROOTS)],
        "zrams": {name: (block / name / "disksize").read_text().strip() for name in names if name[:4] == "zram"},
        "maps": [name for name in names if name.startswith("dm-")],
        "loops": [name for name in names if name.startswith("loop") and (block / name / "loop").exists()],
        "notes": sorted(name for name in os.listdir(ROOTS.run) if not name.endswith(".lock")),
        "zswap": {name: zswap.read(ROOTS, name) for name in (*zswap.PARAMETERS, zswap.WRITEBACK)},
        "sysctls": {name: sysctl.read(ROOTS, name) for name, _ in DEFAULT_SYSCTLS},
    }


def differences(now: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """In words."""
    return [f"{key}: {now[key]}, not {wanted[key]}" for key in wanted if now[key] != wanted[key]]


class Keeper:
    """The process whose pages are stored and brought back all the time."""

    def __init__(self, pid: int) -> None:
        self.pid, self.asked = pid, 0

    def page_out(self) -> None:
        """Have some of its pages stored; more than it has would make the kernel try again and again."""
        with contextlib.suppress(OSError):
            RECLAIM.write_text("2M")

    def is_intact(self) -> bool:
        """Let it look at every byte."""
        self.asked += 1
        os.kill(self.pid, signal.SIGUSR1)
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            said = ANSWERS.read_text().split()[1:]
            if len(said) >= self.asked:
                return said[-1] == "intact"
            time.sleep(0.002)
        return False


class Way:
    """One command on one kind of store, killed again and again."""

    def __init__(
        self, name: str, spec: StoreSpec, keeper: Keeper, before: tuple[Command, ...], victim: Command
    ) -> None:
        self.name, self.keeper, self.before, self.victim = name, keeper, before, victim
        self.wrong: list[str] = []
        self.kills = 0
        self.up = up_of(spec)
        self.baseline = board()
        self.must("a first up", self.up)
        self.reference = board()
        self.must("a first down", down)
        self.settled("without a crash")

    def must(self, what: str, command: Command) -> None:
        """It has to succeed."""
        try:
            command(KernelDeviceEffects(ROOTS))
        except LmkdError as error:
            self.wrong.append(f"{what}: {error}")

    def settled(self, what: str) -> None:
        """As it was before everything."""
        self.wrong += [f"{what}: {text}" for text in differences(board(), self.baseline)]

    def is_up(self, what: str) -> None:
        """One store, and nothing besides what it takes; of which number does not matter."""
        now, wanted = board(), self.reference
        counts = [(len(one["swaps"]), _sized(one), len(one["maps"]), len(one["loops"])) for one in (now, wanted)]
        if counts[0] != counts[1]:
            self.wrong.append(f"{what}: swaps, sized zrams, maps, loops: {counts[0]}, not {counts[1]}")
        rest = ("notes", "zswap", "sysctls")
        self.wrong += [f"{what}: {text}" for text in differences(now, {key: wanted[key] for key in rest})]

    def points(self, then: tuple[str, ...]) -> int:
        """Kill it before its first effect and after each; one of ``then`` comes next, in turn. How many."""
        for at in range(POINTS_MAX):
            follow = then[at % len(then)]
            self.begin()
            code = run(self.victim, Fuse(max(at, 1), after=at > 0))
            self.check(f"{self.name}, after {at} effects, then {follow}", code, follow, -signal.SIGKILL)
            if code == 0:
                return at - 1
        return POINTS_MAX

    def midway(self) -> int:
        """Kill it while pages come back; how often that was so."""
        killed = 0
        for seconds in MIDWAY_S:
            self.begin()
            code = run(self.victim, Midway(seconds))
            killed += code == -signal.SIGALRM
            self.check(f"{self.name}, {seconds} s into swapoff", code, "up", -signal.SIGALRM)
        return killed

    def anytime(self) -> int:
        """Kill it at times spread over how long it takes, inside its effects and between; how often that was so."""
        self.begin()
        begun_s = time.monotonic()
        run(self.victim, KernelDeviceEffects(ROOTS))
        whole_s = time.monotonic() - begun_s
        self.must(self.name, down)
        killed = 0
        for part in range(1, ANY_TIMES + 1):
            self.begin()
            code = run(self.victim, KernelDeviceEffects(ROOTS), whole_s * part / ANY_TIMES)
            killed += code == -signal.SIGALRM
            self.check(f"{self.name}, after {part}/{ANY_TIMES} of its time", code, "up", -signal.SIGALRM)
        return killed

    def begin(self) -> None:
        """What is there before the command is run."""
        for command in self.before:
            self.must(f"{self.name}: before", command)
        if self.before:
            self.keeper.page_out()

    def check(self, what: str, code: int, follow: str, wanted: int) -> None:
        """The next command, what it leaves, and then the way down."""
        if code not in (0, wanted):
            self.wrong.append(f"{what}: exit {code}")
        self.kills += code < 0
        if follow != "down":
            self.must(what, self.up if follow == "up" else self.victim)
            self.is_up(what)
            self.keeper.page_out()
        self.must(f"{what}, down", down)
        self.settled(f"{what}, down")
        if not self.keeper.is_intact():
            self.wrong.append(f"{what}: bytes are lost")


def _sized(state: dict[str, Any]) -> int:
    return sum(size != "0" for size in state["zrams"].values())


@contextlib.contextmanager
def somebody_elses() -> Iterator[None]:
    """A zram of theirs, so that lmkd has to add one."""
    size = ROOTS.sys / "block" / OTHERS / "disksize"
    size.write_text("65536")
    (ROOTS.dev / OTHERS).write_bytes(b"somebody's file system")
    yield
    if not (ROOTS.dev / OTHERS).read_bytes().startswith(b"somebody's"):
        raise AssertionError(f"{OTHERS} was written to")
    (ROOTS.sys / "block" / OTHERS / "reset").write_text("1")


def ways(keeper: Keeper) -> Iterator[tuple[Way, int, int]]:
    """Each with the number of its effects, and how often it was killed at a time instead of at an effect."""
    kinds = {kind: wanted_here(ROOTS, load([Path(f"/run/{kind}.yaml")]), say) for kind in ("zram", "zswap")}
    for kind, spec in kinds.items():
        up, to = up_of(spec), move_to(replace(spec, algorithm="zstd"))
        yield (way := Way(f"{kind} up", spec, keeper, (), up)), way.points(("up", "down")), way.anytime()
        yield (way := Way(f"{kind} down", spec, keeper, (up,), down)), way.points(("down", "up")), way.midway()
        if kind == "zram":
            yield (way := Way("zram move", spec, keeper, (up,), to)), way.points(("up", "move")), way.midway()
            yield (way := Way("zram move back", spec, keeper, (up, to), to)), way.points(("up",)), way.anytime()
        with somebody_elses():
            yield (way := Way(f"{kind} up beside", spec, keeper, (), up)), way.points(("up", "down")), 0
            yield (way := Way(f"{kind} down beside", spec, keeper, (up,), down)), way.points(("down",)), 0


def main() -> None:
    """All ways, one after the other."""
    for way, effects, timed in ways(Keeper(int(sys.argv[1]))):
        found = {"way": way.name, "effects": effects, "kills": way.kills, "timed": timed, "wrong": way.wrong}
        os.write(RESULTS, (json.dumps({"kind": "crash", **found}) + "\n").encode())
        print(f"{time.monotonic():.1f} s: {found}", flush=True)


main()
