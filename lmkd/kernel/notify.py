"""Telling the service manager that we are ready (sd_notify(3)'s protocol, also spoken by s6 and others)."""

from __future__ import annotations


def notify(socket_path: str, message: str) -> None:
    """Send ``message`` (as READY=1) to NOTIFY_SOCKET's path; nothing when the path is empty. OSError when it fails."""
    if not socket_path:
        return
    import _socket

    address = "\0" + socket_path[1:] if socket_path.startswith("@") else socket_path
    connection = _socket.socket(
        _socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
    )
    try:
        connection.sendto(message.encode(), address)
    finally:
        connection.close()
