"""A Python application with a cache that it gives back when memory gets short.

    python3 cache.py [--mib N] [--socket PATH]

The notices come in a thread of their own: the application need have no event loop (one with asyncio would use
``lmkd.client.aio.AsyncClient`` in a task). It runs as well where there is no lmkd.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import threading
import time

from lmkd.client import AboutToKill, Client, Level, Link

MIB = 1 << 20


class Cache:
    """Pieces of 1 MiB that can be made again at any time."""

    def __init__(self, pieces: int) -> None:
        self._wanted = pieces
        self._pieces: list[bytes] = []
        self._lock = threading.Lock()
        self.may_grow = True

    def grow(self) -> None:
        """Make one piece more, if there is room for it."""
        with self._lock:
            if self.may_grow and len(self._pieces) < self._wanted:
                self._pieces.append(os.urandom(MIB))
                if len(self._pieces) == self._wanted:
                    say(f"full {self._wanted} MiB")

    def drop(self, keep: int) -> None:
        """Give back all but ``keep`` pieces."""
        with self._lock:
            gone = len(self._pieces) - keep
            if gone <= 0:
                return
            del self._pieces[keep:]
        give_back()
        say(f"dropped {gone} MiB")


def give_back() -> None:
    """What Python frees may stay with the C library: glibc gives it to the kernel when asked (musl does by itself)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def say(text: str) -> None:
    print(f"{time.monotonic():.3f} {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="an application that gives back its cache when memory gets short")
    parser.add_argument("--mib", type=int, default=40)
    parser.add_argument("--socket", default="/run/lmkd/control")
    args = parser.parse_args()
    cache = Cache(args.mib)

    def on_level(notice: Level) -> None:
        say(f"level {notice.level}")
        cache.may_grow = notice.severity == 0
        if notice.severity >= 2:
            cache.drop(keep=args.mib // 8 if notice.level == "moderate" else 0)

    def on_about_to_kill(notice: AboutToKill) -> None:
        say(f"about to be killed, {notice.grace_ms} ms left")  # save what the user would miss, then go
        os._exit(0)

    def on_link(notice: Link) -> None:
        say(f"lmkd is {'there' if notice.up else 'not there'} {notice.reason}".rstrip())

    client = Client(args.socket)
    client.register(name="cache.py", priority="background", trim=True)
    listening = threading.Thread(target=client.listen, args=(on_level, on_about_to_kill, None, on_link), daemon=True)
    listening.start()
    say(f"pid {os.getpid()}")
    while True:
        cache.grow()
        time.sleep(0.02)


if __name__ == "__main__":
    main()
