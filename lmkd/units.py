"""Text to numbers and back, for the units people write and read: durations, sizes, percentages.

Parsing is exact (no floating point) and strict: a number without a unit is an error that shows what to write.
Sizes are powers of 1024 whatever the spelling (M, MB, MiB), as the kernel's own files and parameters have
them. The resident process imports this module, so it imports nothing itself.
"""

from __future__ import annotations

_MAX_DIGITS = 15
_DURATIONS_MS = (("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000))
_SIZES_BYTES = (
    ("b", 1),
    *((name, 1 << 10) for name in ("k", "kb", "kib")),
    *((name, 1 << 20) for name in ("m", "mb", "mib")),
    *((name, 1 << 30) for name in ("g", "gb", "gib")),
)
_KIB_PER_MIB = 1024
_MS_PER_S = 1000
_S_PER_MIN = 60


def parse_duration_ms(text: str) -> int:
    """Milliseconds of ``"33ms"``, ``"1.5s"``, ``"2min"``, ``"1h"``.

    ValueError, with what to write instead, for no or an unknown unit and for what is not a whole millisecond.
    """
    mantissa, scale, unit = _split(text, "a duration", "33ms")
    if not unit:
        raise ValueError(f"{_shown(text)} has no unit: write {_shown(text)}ms or {_shown(text)}s")
    factor = _factor(_DURATIONS_MS, unit)
    if factor is None:
        raise ValueError(f"{_shown(text)} has an unknown unit {_shown(unit)!r}: write ms, s, min or h")
    duration_ms, rest = divmod(mantissa * factor, scale)
    if rest:
        raise ValueError(f"{_shown(text)} is not a whole number of milliseconds")
    return duration_ms


def parse_size_kib(text: str) -> int:
    """KiB of ``"12M"``, ``"64 MiB"``, ``"1G"``, ``"512K"``, ``"4096B"``; a part of a KiB is dropped.

    ValueError, with what to write instead, for no or an unknown unit and for what is less than a KiB but not
    0.
    """
    mantissa, scale, unit = _split(text, "a size", "12M")
    if not unit:
        shown = _shown(text)
        raise ValueError(f"{shown} has no unit: write {shown}K, {shown}M or {shown}G")
    factor = _factor(_SIZES_BYTES, unit.lower())
    if factor is None:
        raise ValueError(f"{_shown(text)} has an unknown unit {_shown(unit)!r}: write K, M or G")
    size_kib = mantissa * factor // (scale << 10)
    if mantissa and not size_kib:
        raise ValueError(f"{_shown(text)} is less than 1K, the smallest size")
    return size_kib


def parse_percent(text: str) -> int:
    """The whole percentage of ``"60%"``; ValueError, with what to write instead, for anything else."""
    mantissa, scale, unit = _split(text, "a percentage", "60%")
    if not unit:
        raise ValueError(f"{_shown(text)} has no unit: write {_shown(text)}%")
    if unit != "%":
        raise ValueError(f"{_shown(text)} has an unknown unit {_shown(unit)!r}: write %")
    percent, rest = divmod(mantissa, scale)
    if rest:
        raise ValueError(f"{_shown(text)} is not a whole percentage")
    return percent


def format_kib(size_kib: int) -> str:
    """A size for a person: ``"512 KB"``, ``"12.3 MB"``, ``"1.5 GB"`` (powers of 1024)."""
    sign, size_kib = ("-", -size_kib) if size_kib < 0 else ("", size_kib)
    if size_kib < _KIB_PER_MIB:
        return f"{sign}{size_kib} KB"
    size_mib = size_kib / _KIB_PER_MIB
    if round(size_mib, 1) < _KIB_PER_MIB:
        return f"{sign}{size_mib:.1f} MB"
    return f"{sign}{size_mib / _KIB_PER_MIB:.1f} GB"


def format_ms(duration_ms: int) -> str:
    """A duration for a person: ``"33 ms"``, ``"1.5 s"``, ``"2 min 5 s"``, ``"1 h 4 min"``."""
    sign, duration_ms = ("-", -duration_ms) if duration_ms < 0 else ("", duration_ms)
    if duration_ms < _MS_PER_S:
        return f"{sign}{duration_ms} ms"
    if round(duration_ms / _MS_PER_S, 1) < _S_PER_MIN:
        return f"{sign}{duration_ms / _MS_PER_S:.1f} s"
    minutes, seconds = divmod(round(duration_ms / _MS_PER_S), _S_PER_MIN)
    hours, minutes = divmod(minutes, _S_PER_MIN)
    return f"{sign}{hours} h {minutes} min" if hours else f"{sign}{minutes} min {seconds} s"


def _split(text: str, what: str, example: str) -> tuple[int, int, str]:
    """(mantissa, power of ten it is to be divided by, unit) of ``text``; ValueError when it has no number."""
    stripped = text.strip(" ")
    if stripped.startswith("-"):
        raise ValueError(f"{_shown(text)} is negative: {what} is not")
    end = 0
    while end < len(stripped) and stripped[end] in "0123456789.":
        end += 1
    whole, point, fraction = stripped[:end].partition(".")
    if not whole or "." in fraction or (point and not fraction):
        raise ValueError(f"{_shown(text)!r} is not {what}: write a number and a unit, such as {example}")
    if len(whole) + len(fraction) > _MAX_DIGITS:
        raise ValueError(f"{_shown(text)} has too many digits for {what}")
    return int(whole + fraction), 10 ** len(fraction), stripped[end:].strip(" ")


def _factor(table: tuple[tuple[str, int], ...], unit: str) -> int | None:
    for name, factor in table:
        if name == unit:
            return factor
    return None


def _shown(text: str) -> str:
    """``text`` as it can stand in a message of one line."""
    stripped = text.strip(" ")
    shown = stripped if len(stripped) <= 40 else stripped[:37] + "..."  # noqa: PLR2004 - a readable line
    return shown if shown.isprintable() else ascii(shown)[1:-1]
