"""Frozen, slotted value classes for what crosses a layer, cheap enough for the resident guard.

They are to the type checker what ``dataclass(frozen=True, slots=True)`` is. The standard ``dataclasses`` module
imports ``inspect``, ``ast``, ``dis`` and ``re``, which the resident guard cannot afford on a 64 MB board (``make
modules`` measures it), so the few features in use here are made by hand.
"""

from __future__ import annotations

from _operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar, dataclass_transform

    T = TypeVar("T")

else:

    def dataclass_transform(**options):
        """At run time the marker for the type checker does nothing."""
        return lambda decorator: decorator


_PATTERN = """
def __init__(self, {parameters}):
    {body}
"""
_NOT_COPIED = ("__dict__", "__weakref__", "__annotations__")


def _frozen_setattr(self: object, name: str, value: object) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")


def _frozen_delattr(self: object, name: str) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name!r}")


def _repr(self: object) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in field_names(self))
    return f"{type(self).__name__}({fields})"


def _eq(self: object, other: object) -> bool:
    return type(self) is type(other) and all(
        getattr(self, name) == getattr(other, name) for name in field_names(self)
    )


def _hash(self: object) -> int:
    return hash((type(self).__name__, *(getattr(self, name) for name in field_names(self))))


def _getter(names: tuple[str, ...]) -> object:
    """What gives the fields of an instance as a tuple, in one call where there are several."""
    if len(names) > 1:
        return attrgetter(*names)
    return staticmethod(lambda instance: tuple(getattr(instance, name) for name in names))


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Make a class of annotated fields (with immutable defaults, if any) a frozen, slotted value class."""
    names = tuple(cls.__annotations__)
    defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
    namespace = {
        key: item for key, item in cls.__dict__.items() if key not in (*names, *_NOT_COPIED)
    }
    parameters = ", ".join(f"{name}=_default_{name}" if name in defaults else name for name in names)
    body = "\n    ".join(f"_set_{at}(self, {name})" for at, name in enumerate(names)) or "pass"
    namespace.update(
        __slots__=names,
        __qualname__=cls.__qualname__,
        __setattr__=_frozen_setattr,
        __delattr__=_frozen_delattr,
        __match_args__=names,
        __repr__=_repr,
        __eq__=_eq,
        __hash__=_hash,
        _held_by=_getter(names),
    )
    made = type(cls.__name__, cls.__bases__, namespace)
    scope: dict[str, Any] = {f"_default_{name}": item for name, item in defaults.items()}
    # Numbered: names of all fields of all classes would stay in the interpreter's table of names.
    scope.update({f"_set_{at}": getattr(made, name).__set__ for at, name in enumerate(names)})
    exec(_PATTERN.format(parameters=parameters, body=body), scope)  # noqa: S102 - the text is made of field names
    initializer = scope.pop("__init__")
    for name in ("__builtins__", *(f"_default_{name}" for name in defaults)):
        del scope[name]
    initializer.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__init__ = initializer  # type: ignore[misc]
    return made


def field_names(instance_or_class: object) -> tuple[str, ...]:
    """The names of a value's fields, in the order of their definition."""
    return instance_or_class.__slots__  # type: ignore[attr-defined,no-any-return]


def replace(instance: T, **changes: Any) -> T:
    """``instance`` with some fields changed; itself when none differs. TypeError for a field it does not have."""
    cls: Any = type(instance)
    names = cls.__slots__
    held = cls._held_by(instance)
    arguments: list[Any] | None = None
    for name, item in changes.items():
        if name not in names:
            raise TypeError(f"{cls.__name__} has no field {name}")
        place = names.index(name)
        # Most steps change nothing of most parts, and a copy costs far more than to see that.
        if held[place] is not item:
            arguments = arguments or list(held)
            arguments[place] = item
    return instance if arguments is None else cls(*arguments)


def as_dict(instance: object) -> dict[str, Any]:
    """The fields of a value by name, values within it left as they are."""
    return {name: getattr(instance, name) for name in field_names(instance)}
