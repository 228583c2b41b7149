"""Owns one run of the emulated board: starts qemu, reads the guest's channels, says how the run ended."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .architectures import ARCHITECTURES
from .image import Base
from .packages import tool

Record = Mapping[str, Any]
Status = Literal["finished", "guest_died", "deadline", "no_result"]
# A slow eMMC. qemu counts it in host time; the time a guest idles passes in host time too.
FLASH_BYTES_PER_S = 20_000_000
CONSOLE_TAIL_LINES = 40


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware of one board."""

    mem_mb: int = 256
    cpus: int = 1
    flash_bytes_per_s: int = FLASH_BYTES_PER_S  # 0: not throttled
    # 2**shift ns of guest time an instruction; None: guest time is host time. With more than one cpu always
    # None: under icount qemu 7.2 never leaves a processor that spins, and the kernel hangs while it boots.
    icount_shift: int | None = 1
    cma_mb: int | None = None  # the kernel's 16; below 128 MB of RAM, where 16 leave too little to boot, 4
    append: str = ""  # more kernel parameters
    udev: bool = False  # start systemd-udevd before main.sh


@dataclass(frozen=True, slots=True)
class Watch:
    """Who hears of the guest's lines while it runs; each may be None."""

    on_record: Callable[[Record], None] | None = None
    on_text: Callable[[str], None] | None = None


QUIET = Watch()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended and what the guest sent."""

    status: Status
    exit_code: int | None  # of main.sh; None when it never ended
    records: tuple[Record, ...]
    text: str
    console: str
    host_seconds: float
    missing: tuple[str, ...] = ()  # promised kinds of record that never came

    def of_kind(self, kind: str) -> tuple[Record, ...]:
        """Records of one kind, in order."""
        return tuple(record for record in self.records if record.get("kind") == kind)

    def console_tail(self, lines: int = CONSOLE_TAIL_LINES) -> str:
        """Last lines of the kernel's console."""
        return "\n".join(self.console.splitlines()[-lines:])


@dataclass(slots=True)
class _Heard:
    records: list[Record] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


def qemu_command(base: Base, layer_disk: Path, machine: Machine, console: Path, ports: tuple[int, int]) -> list[str]:
    """Command line of the board; `ports` are the descriptors that take results and text.

    The devices sit on PCI: on virtio-mmio each serial port pins 4 MB of the guest (1024 buffers of a page).
    """
    append = "console=ttyAMA0 panic=-1 random.trust_bootloader=on rdinit=/init"
    cma_mb = 4 if machine.cma_mb is None and machine.mem_mb < 128 else machine.cma_mb
    if cma_mb is not None:
        append += f" cma={cma_mb}M"
    if machine.udev:
        append += " board.udev=1"
    architecture = ARCHITECTURES[base.architecture]
    command = [tool(architecture.emulator), *architecture.machine]
    command += ["-nodefaults", "-no-user-config", "-display", "none"]
    command += ["-no-reboot", "-m", str(machine.mem_mb), "-smp", str(machine.cpus)]
    if machine.icount_shift is not None and machine.cpus == 1:
        command += ["-icount", f"shift={machine.icount_shift}"]
    command += ["-kernel", str(base.kernel), "-initrd", str(base.initramfs)]
    command += ["-append", f"{append} {machine.append}"]
    command += ["-chardev", f"file,id=console,path={console}", "-serial", "chardev:console"]
    command += ["-device", "virtio-serial-pci,max_ports=3"]
    for name, descriptor in zip(("results", "text"), ports, strict=True):
        command += ["-chardev", f"file,id={name},path=/proc/self/fd/{descriptor}"]
        command += ["-device", f"virtserialport,chardev={name},name={name}"]
    flash = f",throttling.bps-read={machine.flash_bytes_per_s},throttling.group=flash"
    for name, disk in (("root", base.root_disk), ("layer", layer_disk)):
        drive = f"if=none,id={name},file={disk},format=raw,readonly=on"
        command += ["-drive", drive + (flash if machine.flash_bytes_per_s else "")]
        command += ["-device", f"virtio-blk-pci,drive={name},serial={name},queue-size=64,num-queues=1"]
    return command


def run_board(
    base: Base,
    layer_disk: Path,
    machine: Machine,
    deadline_s: float,
    promised: tuple[str, ...] = (),
    watch: Watch = QUIET,
    console_log: Path | None = None,
) -> Outcome:
    """Boot, listen until the board powers off or the deadline passes, and judge how it ended.

    deadline_s is host time. `promised` are kinds of record without which a finished run is "no_result".
    """
    with tempfile.TemporaryDirectory(prefix="lmkd-vm-") as scratch:
        console = console_log or Path(scratch) / "console.log"
        begun = time.monotonic()
        heard, in_time = _listen(base, layer_disk, machine, console, begun + deadline_s, watch)
        seconds = time.monotonic() - begun
        shown = console.read_text(encoding="utf-8", errors="replace") if console.exists() else ""
    end = next((record for record in heard.records if record.get("kind") == "end"), None)
    kinds = {record.get("kind") for record in heard.records}
    missing = tuple(kind for kind in promised if kind not in kinds)
    status: Status = "finished"
    if end is None:
        status = "guest_died" if in_time else "deadline"
    elif missing:
        status = "no_result"
    code = end.get("exit") if end is not None else None
    return Outcome(status, code, tuple(heard.records), "".join(heard.text), shown, seconds, missing)


def _listen(
    base: Base, layer_disk: Path, machine: Machine, console: Path, deadline: float, watch: Watch
) -> tuple[_Heard, bool]:
    """Run qemu until its channels close (True) or the deadline passes (False); it is gone afterwards."""
    results_in, results_out = os.pipe()
    text_in, text_out = os.pipe()
    heard = _Heard()
    process: subprocess.Popen[bytes] | None = None
    try:
        command = qemu_command(base, layer_disk, machine, console, (results_out, text_out))
        with console.with_suffix(".qemu").open("wb") as errors:
            ports = (results_out, text_out)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, pass_fds=ports)
        os.close(results_out)
        os.close(text_out)
        in_time = _pump(results_in, text_in, deadline, heard, watch)
        if in_time:
            process.wait(timeout=10)
            complaint = console.with_suffix(".qemu").read_text(encoding="utf-8", errors="replace")
            if process.returncode != 0:
                heard.text.append(f"qemu ended with {process.returncode}: {complaint}\n")
        return heard, in_time
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        console.with_suffix(".qemu").unlink(missing_ok=True)
        os.close(results_in)
        os.close(text_in)


def _pump(results: int, text: int, deadline: float, heard: _Heard, watch: Watch) -> bool:
    takers = {results: _record_taker(heard, watch), text: _text_taker(heard, watch)}
    rests = {results: b"", text: b""}
    with selectors.DefaultSelector() as selector:
        for descriptor in takers:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in selector.select(left):
                data = os.read(key.fd, 65536)
                *lines, rests[key.fd] = (rests[key.fd] + data).split(b"\n")
                for line in lines:
                    takers[key.fd](line.decode("utf-8", "replace"))
                if not data:
                    selector.unregister(key.fd)
    for descriptor, rest in rests.items():
        if rest:
            takers[descriptor](rest.decode("utf-8", "replace"))
    return True


def _record_taker(heard: _Heard, watch: Watch) -> Callable[[str], None]:
    def take(line: str) -> None:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            record = {"kind": "garbled", "line": line}
        heard.records.append(record)
        if watch.on_record is not None:
            watch.on_record(record)

    return take


def _text_taker(heard: _Heard, watch: Watch) -> Callable[[str], None]:
    def take(line: str) -> None:
        heard.text.append(line + "\n")
        if watch.on_text is not None:
            watch.on_text(line)

    return take
