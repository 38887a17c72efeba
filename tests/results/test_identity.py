from __future__ import annotations

import enum
import math
import subprocess
import sys
from dataclasses import dataclass, field, make_dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from results_toys import environment

from estimlab.errors import EstimlabError
from estimlab.results.identity import content_key


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Logistic:
    scale: float = 1.0


@dataclass(frozen=True)
class Gaussian:
    scale: float = 1.0


@dataclass(frozen=True)
class Recipe:
    value: Any = None
    law: Logistic | Gaussian = field(default_factory=Logistic)


@dataclass
class Mutable:
    scale: float = 1.0


class Undecorated(Logistic):
    extra: float = 2.0


def test_equal_fields_of_different_classes_differ() -> None:
    assert content_key(Logistic(1.0)) != content_key(Gaussian(1.0))
    assert content_key(Recipe(1, Logistic())) != content_key(Recipe(1, Gaussian()))


def test_key_is_stable() -> None:
    # A change of this number means that every store on earth computes its cells again.
    key = content_key(Recipe((1, 2.5, "a", None, True, Logistic(2.0))))
    assert key == "054177d71326b0cfbaeb96570cf1c48f"
    script = "from test_identity import *; print(content_key(Recipe((1, 2.5, 'a', None, True, Logistic(2.0)))))"
    folder = str(__file__).rpartition("/")[0]
    for seed in ("1", "2"):
        variables = {**environment(), "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=variables, capture_output=True, text=True)
        assert done.stdout.strip() == key, done.stderr


def test_default_fields_are_omitted() -> None:
    before = make_dataclass("Grown", [("a", int)], frozen=True)
    after = make_dataclass("Grown", [("a", int), ("b", float, 0.5)], frozen=True)
    assert content_key(before(1)) == content_key(after(1)) == content_key(after(1, 0.5))
    assert content_key(after(1)) != content_key(after(1, 0.25))


def test_defaults_are_compared_by_content() -> None:
    flag = make_dataclass("Flag", [("a", Any, 1)], frozen=True)
    assert len({content_key(flag(value)) for value in (1, 1.0, True, "1", None, 0.0, -0.0)}) == 7


def test_revision_counts() -> None:
    old = make_dataclass("Work", [("a", int)], frozen=True)
    first = make_dataclass("Work", [("a", int), ("revision", ClassVar[int], 1)], frozen=True)
    second = make_dataclass("Work", [("a", int), ("revision", ClassVar[int], 2)], frozen=True)
    assert content_key(old(1)) == content_key(first(1)) != content_key(second(1))


def test_enums_and_nesting() -> None:
    values = [Colour.RED, Colour.BLUE, "RED", (1, (2,)), (1, 2), ((1,), 2), (), ("1", "2"), ("12",)]
    assert len({content_key(Recipe(value)) for value in values}) == len(values)


content = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: st.lists(inside, max_size=3).map(tuple) | inside.map(Recipe),
    max_leaves=6,
)


@given(content, content)
def test_keys_are_equal_only_for_equal_content(one: Any, other: Any) -> None:
    # repr tells 1, 1.0, True and -0.0 apart, as == does not
    assert (content_key(Recipe(one)) == content_key(Recipe(other))) == (repr(one) == repr(other))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_must_be_finite(value: float) -> None:
    with pytest.raises(EstimlabError, match=r"Recipe\.value\[1\]\.scale is (nan|-?inf)"):
        content_key(Recipe((0, Logistic(value))))


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, len, lambda: 0, math, b"a", 1j, Logistic, range(3), object()])
def test_other_types_are_rejected(value: Any) -> None:
    with pytest.raises(EstimlabError, match=r"Recipe\.value is of type .* has no stable content"):
        content_key(Recipe(value))


@pytest.mark.parametrize("value", [Mutable(), Undecorated()])
def test_what_can_change_or_hides_fields_is_rejected(value: Any) -> None:
    with pytest.raises(EstimlabError, match=r"Recipe\.value: .*@dataclass\(frozen=True\)"):
        content_key(Recipe(value))
