"""Owns zswap's parameters while lmkd's store is up: sets them, keeps the old values, puts them back.

As with the sysctls, the note below /run is written before each change, and an old value that it already has stays:
after a crash or a second start it is still the value from before lmkd that comes back.
"""

from __future__ import annotations

from lmkd.errors import KernelInterfaceError
from lmkd.kernel import zswap
from lmkd.kernel.files import read_text_or_none
from lmkd.store.kept import format_rows, parse_rows
from lmkd.store.record import boot_id
from lmkd.values import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lmkd.kernel.files import Roots
    from lmkd.store.device_effects import DeviceEffects
    from lmkd.store.state import Report


@value
class Kept:
    """One parameter: the value from before lmkd and the one that lmkd set."""

    name: str
    old: str
    set_to: str


@value
class Wish:
    """A parameter and its value, best first; ``cost`` says what is lost when none is in force ("": nothing)."""

    name: str
    values: tuple[str, ...]
    cost: str = ""


def kept_path(roots: Roots) -> Path:
    """Where the old values are."""
    return roots.run / "zswap.json"


def parse_kept(text: str, boot: str) -> tuple[Kept, ...]:
    """The old values in a note; none from a note that is damaged or of another boot."""
    kept = []
    for row in parse_rows(text, boot):
        fields = [row.get(key) for key in ("name", "old", "set_to")]
        if all(isinstance(field, str) for field in fields):
            kept.append(Kept(*map(str, fields)))
    return tuple(kept)


def format_kept(kept: tuple[Kept, ...], boot: str) -> str:
    """The note as JSON text."""
    return format_rows(kept, boot)


def read_kept(roots: Roots) -> tuple[Kept, ...]:
    """The old values that hold for this boot; none when the note cannot be read."""
    try:
        text = read_text_or_none(kept_path(roots))
        return () if text is None else parse_kept(text, boot_id(roots))
    except KernelInterfaceError:
        return ()


class Setter:
    """Sets parameters, each noted before. Raises KernelInterfaceError only when the note cannot be written."""

    def __init__(self, roots: Roots, port: DeviceEffects, report: Report) -> None:
        self._roots = roots
        self._port = port
        self._report = report
        self._boot = boot_id(roots)
        self._kept = {item.name: item for item in read_kept(roots)}
        self._changed: set[str] = set()

    def grant(self, wish: Wish) -> bool:
        """Set the first value that the kernel takes; False when none is in force in the end.

        Nothing is reported: before zswap was ever on, a kernel may take what it later drops, so the caller asks again.
        """
        for text in wish.values:
            now = self._port.zswap(wish.name)
            if now is None or now == text:
                return now == text
            self._note(wish.name, now, text)
            try:
                self._port.set_zswap(wish.name, text)
            except KernelInterfaceError:
                continue
            if self._port.zswap(wish.name) == text:
                return True
        return False

    def complain(self, wish: Wish) -> None:
        """Report a wish that was not granted, or not as it was first asked for."""
        now = self._port.zswap(wish.name)
        if now != wish.values[0] and wish.cost:
            reason = "this kernel does not have it" if now is None else f"in force is {now}, not {wish.values[0]}"
            self._report("degraded", {"feature": f"zswap {wish.name}", "cost": wish.cost, "reason": reason})

    def done(self) -> None:
        """Let the note say what is in force in the end, and the record what was changed."""
        rows = []
        for item in self._kept.values():
            now = self._port.zswap(item.name)
            if now is not None and now != item.old:
                rows.append(Kept(item.name, item.old, now))
                if item.name in self._changed:
                    self._report("zswap", {"name": item.name, "old": item.old, "new": now})
        if self._changed:
            self._port.save(kept_path(self._roots), format_kept(tuple(rows), self._boot))

    def _note(self, name: str, now: str, text: str) -> None:
        old = self._kept[name].old if name in self._kept else now
        self._kept[name] = Kept(name, old, text)
        self._changed.add(name)
        self._port.save(kept_path(self._roots), format_kept(tuple(self._kept.values()), self._boot))


def restore(roots: Roots, port: DeviceEffects, report: Report) -> None:
    """Put the old values back, but leave one that somebody else has changed since; then forget them."""
    kept = read_kept(roots)
    # Off first, so that nothing is stored with parameters of which half are old.
    for item in sorted(kept, key=lambda one: one.name != zswap.ENABLED):
        try:
            now = port.zswap(item.name)
            if now == item.set_to and now != item.old:
                port.set_zswap(item.name, item.old)
                report("zswap", {"name": item.name, "old": now, "new": item.old})
            elif now not in (None, item.old):
                report("zswap_left", {"name": item.name, "now": now, "reason": "changed since by somebody else"})
        except KernelInterfaceError as error:
            report(
                "degraded",
                {"feature": f"zswap {item.name}", "cost": "the old value is not back", "reason": str(error)},
            )
    if kept:
        port.remove(kept_path(roots))
