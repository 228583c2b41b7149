"""Who may do what: who a peer is, as the kernel tells it, and what it may do to whose process. Texts for refusals."""

from __future__ import annotations

import _socket
import os
import struct

from lmkd.control.hands import Peer, Process
from lmkd.errors import ControlError
from lmkd.kernel.counters import find_number
from lmkd.kernel.pinned import read_once
from lmkd.kernel.process import parse_stat

SO_PEERGROUPS = 59
"""Linux 4.13, include/uapi/asm-generic/socket.h; before that only the peer's own group is known."""
_CREDENTIALS = struct.Struct("=iII")
GROUP_BYTES_MAX = 1024
"""What a socket option may have here (Python): 256 groups; of who is in more of them only the own one counts."""
NOBODY = -1


def peer_of(connection: _socket.socket, number: int, control_gid: int, proc: str) -> Peer:
    """Who is at the other end of a connection; ``control_gid`` -1: there is no such group. OSError."""
    data = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(data)
    privileged = uid == 0 or (control_gid >= 0 and control_gid in (gid, *_groups(connection)))
    stat = parse_stat(read_once(f"{proc}/{pid}/stat") or b"")
    foreign = _pid_namespace(proc, str(pid)) not in ("", _pid_namespace(proc, "self"))
    return Peer(number, pid, uid, privileged, stat.start_ticks if stat is not None else 0, foreign)


def _pid_namespace(proc: str, pid: str) -> str:
    """pid_namespaces(7); empty without CONFIG_PID_NS, and of who is gone."""
    try:
        return os.readlink(f"{proc}/{pid}/ns/pid")
    except OSError:
        return ""


def _groups(connection: _socket.socket) -> tuple[int, ...]:
    try:
        data = connection.getsockopt(_socket.SOL_SOCKET, SO_PEERGROUPS, GROUP_BYTES_MAX)
    except OSError:
        return ()
    return struct.unpack(f"={len(data) // 4}I", data[: len(data) // 4 * 4])


def read_process(proc: str, pid: int) -> Process:
    """Who that is now. ControlError when it is gone, a zombie, a kernel thread, or a thread of another process."""
    stat = parse_stat(read_once(f"{proc}/{pid}/stat") or b"") if pid > 0 else None
    if stat is None or stat.kernel_thread or stat.state in "ZX":
        raise ControlError(f"there is no process {pid}")
    status = read_once(f"{proc}/{pid}/status") or b""
    leader = find_number(status, b"Tgid:")
    if leader not in (pid, None):
        raise ControlError(f"{pid} is a thread of process {leader}")
    return Process(pid, stat.start_ticks, uid_of(status), stat.comm)


def uid_of(status: bytes) -> int:
    """The user of /proc/PID/status; -1 unless real, effective and saved id are one."""
    start = status.find(b"\nUid:")
    ids = set(status[start + 5 : status.find(b"\n", start + 1)].split()[:3]) if start >= 0 else set()
    return int(ids.pop()) if len(ids) == 1 else NOBODY


def require_own(peer: Peer, process: Process, group: str) -> None:
    """ControlError unless the peer may do all, or the process is of its own user."""
    if not peer.privileged and process.uid != peer.uid:
        raise ControlError(f"process {process.pid} is another user's: only root{_or(group)} may do that")


def require_all(peer: Peer, group: str) -> None:
    """ControlError unless the peer may do all."""
    if not peer.privileged:
        raise ControlError(f"only root{_or(group)} may do that")


def _or(group: str) -> str:
    return f" and the group {group}" if group else ""
