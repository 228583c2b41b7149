"""Value classes: what a frozen, slotted dataclass does, made by hand."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import lmkd.model
import lmkd.plan
from lmkd.values import as_dict, field_names, replace, value


@value
class Point:
    """A place."""

    x: int
    y: int = 2
    names: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Methods stay."""
        return self.x + self.y


@value
class Other:
    x: int
    y: int = 2
    names: tuple[str, ...] = ()


@value
class Empty:
    """No fields."""


def test_fields_are_taken_by_place_and_name_with_defaults() -> None:
    assert (Point(1).x, Point(1).y, Point(1).names) == (1, 2, ())
    assert Point(1, names=("a",)) == Point(x=1, y=2, names=("a",))
    assert Point(1, 5).total == 6


def test_a_value_cannot_be_changed() -> None:
    point: Any = Point(1)
    with pytest.raises(AttributeError, match="Point is frozen: cannot set 'x'"):
        point.x = 5
    with pytest.raises(AttributeError, match="cannot set 'new'"):
        point.new = 5
    with pytest.raises(AttributeError, match="cannot delete 'x'"):
        del point.x
    assert point == Point(1)


def test_a_value_has_no_dictionary() -> None:
    assert not hasattr(Point(1), "__dict__")
    assert sys.getsizeof(Point(1)) <= sys.getsizeof((1, 2, 3))


def test_values_are_equal_by_class_and_fields() -> None:
    assert Point(1) == Point(1)
    assert Point(1) != Point(2)
    others: tuple[Any, ...] = (Other(1), (1, 2, ()), None)
    assert all(Point(1) != other for other in others)


def test_equal_values_have_equal_hashes() -> None:
    assert hash(Point(1)) == hash(Point(1, 2, ()))
    assert len({Point(1), Point(1), Other(1)}) == 2


def test_a_value_with_a_list_in_it_has_no_hash() -> None:
    point = Point(1, names=["a"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unhashable"):
        hash(point)


def test_a_value_shows_its_fields() -> None:
    assert repr(Point(1, names=("a",))) == "Point(x=1, y=2, names=('a',))"
    assert repr(Empty()) == "Empty()"


def test_a_copy_differs_in_what_is_named() -> None:
    assert replace(Point(1), y=7) == Point(1, 7)
    assert replace(Point(1)) == Point(1)


def test_a_copy_in_which_nothing_differs_is_the_thing_itself() -> None:
    point = Point(1, names=("a",))
    assert replace(point, x=point.x, names=point.names) is point
    assert replace(Empty()) == Empty()


def test_a_copy_with_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TypeError, match="Point has no field z"):
        replace(Point(1), zz=1, z=1)


@pytest.mark.parametrize("arguments", [(), (1, 2, (), 4)])
def test_a_wrong_number_of_fields_is_an_error(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        Point(*arguments)


def test_fields_are_known_by_name_and_order() -> None:
    assert field_names(Point) == field_names(Point(1)) == Point.__match_args__ == ("x", "y", "names")
    assert as_dict(Point(1, 2, ("a",))) == {"x": 1, "y": 2, "names": ("a",)}


def test_a_value_can_be_matched_by_its_fields() -> None:
    match Point(1, 9):
        case Point(x, y):
            assert (x, y) == (1, 9)
        case _:
            pytest.fail("no match")


def test_a_value_keeps_its_name_text_and_module() -> None:
    assert (Point.__doc__, Point.__module__, Point.__qualname__) == ("A place.", __name__, "Point")


def test_a_value_inside_a_function_is_told_apart() -> None:
    @value
    class Point:
        x: int

    assert Point.__qualname__.endswith("<locals>.Point")
    assert Point(1) != globals()["Point"](1)


def test_a_field_without_default_after_one_with_a_default_is_an_error() -> None:
    with pytest.raises(SyntaxError):

        @value
        class Wrong:
            a: int = 1
            b: int  # type: ignore[misc]


@pytest.mark.parametrize("module", [lmkd.model, lmkd.plan])
def test_every_value_that_travels_is_hashable_by_its_defaults(module: Any) -> None:
    for name, item in vars(module).items():
        if isinstance(item, type) and item.__module__ == module.__name__ and hasattr(item, "__match_args__"):
            made = item(*range(len(field_names(item))))
            assert made == item(*range(len(field_names(item)))) and hash(made) is not None, name


def test_a_class_keeps_nothing_that_only_its_making_needs() -> None:
    assert "__annotations__" not in vars(Point)
    names = Point.__init__.__globals__
    assert sorted(names) == ["_set_0", "_set_1", "_set_2"]
    assert Point(1) == Point(1, 2, ()) and Point.__init__.__defaults__ == (2, ())
