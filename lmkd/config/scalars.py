"""The text of one YAML scalar to the value that its field asks for; ValueError says what was meant."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from lmkd.config.model import PRIORITY_MIN, Amount, priority_of_class
from lmkd.config.problems import shown
from lmkd.config.schema import AUTO, Field
from lmkd.units import format_kib, format_ms, parse_duration_ms, parse_percent, parse_size_kib
from lmkd.values import value

Setting = int | bool | str | Amount | None

SOCKET_PATH_MAX_BYTES = 107  # sun_path in linux/un.h has 108, one of them for the NUL
PATH_MAX_BYTES = 4095
LABEL_MAX = 64
INT_DIGITS_MAX = 15
SIZE_MAX_KIB = 1 << 30

_YAML_TAG = "tag:yaml.org,2002:"
_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")


@value
class Scalar:
    """A YAML scalar before it means anything: raw text, YAML's idea of its type, whether it was quoted."""

    text: str
    tag: str
    quoted: bool


def scalar_of(node: yaml.ScalarNode) -> Scalar:
    """The scalar of a node; ValueError for a tag (``!thing``) and for characters that no value can have."""
    if not node.tag.startswith(_YAML_TAG):
        raise ValueError(f"the tag {shown(node.tag)} means nothing here: remove it")
    if "\0" in node.value:
        raise ValueError("a NUL byte is not allowed")
    return Scalar(_joined(node.value), node.tag.removeprefix(_YAML_TAG), node.style is not None)


def parse_scalar(field: Field, scalar: Scalar) -> Setting:
    """The value of ``scalar`` for ``field``; ValueError with what is wrong and what was meant."""
    if scalar.tag == "null":
        raise ValueError("has no value: give one, or remove the key")
    if field.default == AUTO and scalar.text == AUTO and field.kind != "name":
        return None
    match field.kind:
        case "bool":
            return _bool(scalar)
        case "int":
            return _in_range(field, _int(scalar), str)
        case "priority":
            return _priority(field, scalar)
    text = _text(field, scalar)
    match field.kind:
        case "duration":
            return _in_range(field, parse_duration_ms(text), format_ms)
        case "amount":
            return _amount(field, text)
        case "word":
            return _word(field, text)
        case "name":
            return _name(text)
        case "path":
            return "" if text in field.allowed else _path(field, text)
        case "label":
            return _label(text)
    raise AssertionError(f"{field.path()} has the unknown kind {field.kind}")


def default_of(field: Field) -> Setting:
    """The default of ``field`` as a value; None where there is none or it is derived from the machine."""
    if not field.default:
        return None
    tag = {"bool": "bool", "int": "int"}.get(field.kind, "str")
    return parse_scalar(field, Scalar(field.default, tag, quoted=False))


def nearest(word: str, known: tuple[str, ...]) -> str | None:
    """The known word that ``word`` was probably meant to be."""
    import difflib  # only a mistake needs it, and every import costs a slow core time

    if len(word) > LABEL_MAX:
        return None
    found = difflib.get_close_matches(word.lower().replace("-", "_"), known, n=1)
    return found[0] if found else None


def _joined(text: str) -> str:
    """``text`` with surrogate pairs joined: JSON escapes what is beyond U+FFFF so, and JSON is YAML."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise ValueError(f"{shown(text)} is no text that UTF-8 can hold") from None


def _bool(scalar: Scalar) -> bool:
    lowered = scalar.text.lower()
    if scalar.tag == "bool" and lowered in _TRUE + _FALSE:
        return lowered in _TRUE
    if lowered in _TRUE + _FALSE:
        raise ValueError(f"{scalar.text} is text because of its quotes: write {lowered} without them")
    raise ValueError(f"{shown(scalar.text)} is neither true nor false")


def _int(scalar: Scalar) -> int:
    text = scalar.text
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit()
    if plain and scalar.quoted and scalar.tag != "int":
        raise ValueError(f"{shown(text)} is text because of its quotes: write it without them")
    if not plain:
        raise ValueError(f"{shown(text)} is not a whole number in plain decimal digits")
    if len(digits) > 1 and digits.startswith("0"):
        meant = shown(text.replace(digits, digits.lstrip("0") or "0"))
        raise ValueError(f"{shown(text)} begins with 0, which YAML reads as octal: write {meant}")
    if len(digits) > INT_DIGITS_MAX:
        raise ValueError(f"{shown(text)} has too many digits")
    return int(text)


def _in_range(field: Field, number: int, show: Callable[[int], str]) -> int:
    if field.low is not None and field.high is not None and not field.low <= number <= field.high:
        raise ValueError(f"{show(number)} is out of range: {show(field.low)} to {show(field.high)}")
    return number


def _priority(field: Field, scalar: Scalar) -> int | str:
    """The name of a class as text, any other priority as a number."""
    if priority_of_class(scalar.text) is not None:
        return scalar.text
    classes = ", ".join(field.allowed)
    if not scalar.text or scalar.text.lstrip("+-")[:1].isdigit():
        return _in_range(field, _int(scalar), str)
    meant = nearest(scalar.text, field.allowed)
    guess = f"did you mean {meant}? " if meant else ""
    raise ValueError(f"{shown(scalar.text)} is no class: {guess}write {classes}, "
                     f"or a number from {PRIORITY_MIN} to {field.high}")


def _text(field: Field, scalar: Scalar) -> str:
    if scalar.tag == "bool" and not scalar.quoted:
        hint = "leave the key out for none" if field.kind == "path" else "quote it if it is meant as text"
        if scalar.text not in field.allowed:
            raise ValueError(f"{scalar.text} is a boolean in YAML, not {_expected(field)}: {hint}")
    if not scalar.text.strip():
        raise ValueError(f"is empty: write {_expected(field)}, or remove the key")
    return scalar.text


def _expected(field: Field) -> str:
    return {
        "duration": "a duration such as 33ms",
        "amount": "a percentage such as 60% or a size such as 64M",
        "word": " or ".join(field.allowed),
        "path": "an absolute path" + "".join(f" or {word}" for word in field.allowed),
        "pattern": "a pattern",
    }.get(field.kind, "a name")


def _amount(field: Field, text: str) -> Amount:
    if text.strip().endswith("%"):
        return Amount(_in_range(field, parse_percent(text), "{}%".format), None)
    if text.strip().replace(".", "", 1).isdigit():
        raise ValueError(f"{shown(text)} has no unit: write {shown(text)}% (of RAM) or {shown(text)}M")
    size_kib = parse_size_kib(text)
    if field.low_kib is not None and size_kib < field.low_kib:
        raise ValueError(f"{shown(text)} is out of range: at least {format_kib(field.low_kib)}")
    if size_kib > SIZE_MAX_KIB:
        raise ValueError(f"{shown(text)} is out of range: at most {format_kib(SIZE_MAX_KIB)}")
    return Amount(None, size_kib)


def _word(field: Field, text: str) -> str:
    if text in field.allowed:
        return text
    meant = nearest(text, field.allowed)
    guess = f"did you mean {meant}? " if meant else ""
    raise ValueError(f"{shown(text)} is not known: {guess}write {' or '.join(field.allowed)}")


def _name(text: str) -> str:
    if len(text) > LABEL_MAX or not all(char.isascii() and (char.isalnum() or char in "-_") for char in text):
        raise ValueError(f"{shown(text)} is not a name the kernel could have: write auto, or one such as lz4")
    return text


def _path(field: Field, text: str) -> str:
    if any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError(f"{shown(text)} has a space or a control character: it takes one path, no arguments")
    if not text.startswith("/"):
        raise ValueError(f"{shown(text)} is not absolute: write the path from /")
    limit = SOCKET_PATH_MAX_BYTES if field.section == "control" else PATH_MAX_BYTES
    if len(text.encode()) > limit:
        raise ValueError(f"{shown(text)} is longer than {limit} bytes")
    return text


def _label(text: str) -> str:
    if not text.isprintable() or len(text) > LABEL_MAX:
        raise ValueError(f"{shown(text)} is not a name: at most {LABEL_MAX} printable characters")
    return text
