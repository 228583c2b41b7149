"""Owns kernel modules: is one loaded or at hand, and loading it through modprobe (kmod's or BusyBox's)."""

from __future__ import annotations

import os
import select
import signal
import time

from lmkd.errors import KernelInterfaceError
from lmkd.kernel.files import errno_text, read_text_or_none

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots

_SYSTEM_FOLDERS = "/usr/sbin:/sbin:/usr/bin:/bin"
_DEADLINE_S = 10.0
_POLL_S = 0.01
_COMMAND_NOT_FOUND = 127


def is_loaded(roots: Roots, name: str) -> bool:
    """Whether module ``name`` is loaded, or built in with parameters: /sys/module has it."""
    return os.path.isdir(roots.sys / "module" / name)


def listed_in(text: str, name: str) -> bool:
    """Whether a modules.builtin or modules.dep text names ``name`` (dash and underscore are the same)."""
    # A board's modules.dep has thousands of lines: no splitting at every start.
    spellings = {name, name.replace("-", "_"), name.replace("_", "-")}
    return any(f"/{spelling}.ko" in text for spelling in spellings)


def available(roots: Roots, name: str, release: str | None = None) -> str | None:
    """``loaded``, ``built in`` or ``module`` when the kernel has or can load it; None otherwise."""
    if is_loaded(roots, name):
        return "loaded"
    folder = roots.lib / "modules" / (release or os.uname().release)
    for file, answer in (("modules.builtin", "built in"), ("modules.dep", "module")):
        text = read_text_or_none(folder / file)
        if text is not None and listed_in(text, name):
            return answer
    return None


def modprobe_command(search_path: str) -> tuple[str, ...] | None:
    """The words that start modprobe: the program, or BusyBox by its applet; None when neither is there."""
    for program, words in (("modprobe", ()), ("busybox", ("modprobe",))):
        for folder in search_path.split(":"):
            path = os.path.join(folder, program)
            if folder and os.access(path, os.X_OK) and os.path.isfile(path):
                return (path, *words)
    return None


def load(name: str, search_path: str | None = None, deadline_s: float = _DEADLINE_S) -> None:
    """Load module ``name`` and wait for it, at most ``deadline_s`` seconds.

    Raises KernelInterfaceError when modprobe is absent, fails (with what it said) or does not end in time.
    """
    folders = search_path if search_path is not None else f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}"
    command = modprobe_command(folders)
    if command is None:
        raise KernelInterfaceError(
            f"module {name}: not loaded, and there is no modprobe (nor busybox) in {folders}: "
            "load it at boot or build it in"
        )
    status, said = _run((*command, name), deadline_s)
    if status is None:
        raise KernelInterfaceError(f"module {name}: {' '.join(command)} did not end within {deadline_s:g} s")
    if status != 0:
        reason = (
            "it could not be started"
            if status == _COMMAND_NOT_FOUND
            else said.strip() or f"exit code {status}"
        )
        raise KernelInterfaceError(f"module {name}: {' '.join(command)} failed: {reason}")


def _run(command: tuple[str, ...], deadline_s: float) -> tuple[int | None, str]:
    # Not the subprocess module: importing it costs the start more than modprobe itself does.
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writing, 2), (os.POSIX_SPAWN_DUP2, writing, 1)]
    try:
        pid = os.posix_spawn(command[0], command, dict(os.environ), file_actions=actions)
    except OSError as error:
        os.close(reading)
        raise KernelInterfaceError(f"{command[0]}: cannot start: {errno_text(error)}") from error
    finally:
        os.close(writing)
    try:
        return _collect(pid, reading, time.monotonic() + deadline_s)
    finally:
        os.close(reading)


def _collect(pid: int, reading: int, deadline_s: float) -> tuple[int | None, str]:
    said = b""
    is_open = True
    while (left_s := deadline_s - time.monotonic()) > 0:
        if is_open and select.select([reading], [], [], min(left_s, _POLL_S))[0]:
            part = os.read(reading, 4096)
            said, is_open = (said + part)[:4096], bool(part)
        elif not is_open:
            time.sleep(_POLL_S)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == pid:
            if is_open and select.select([reading], [], [], 0)[0]:
                said += os.read(reading, 4096)
            return os.waitstatus_to_exitcode(status), said.decode("utf-8", "replace")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None, said.decode("utf-8", "replace")


def unload(name: str) -> None:
    """delete_module(2) for a module that nothing uses; KernelInterfaceError otherwise."""
    from lmkd.kernel.syscalls import Libc

    try:
        Libc().call("delete_module", name.encode(), os.O_NONBLOCK)
    except OSError as error:
        raise KernelInterfaceError(f"module {name}: cannot unload: {errno_text(error)}") from error
