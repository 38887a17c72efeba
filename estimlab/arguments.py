"""What a user gives, made into what is meant: each public entry converts its arguments here, and refuses the rest.

A number of numpy, an integral float where a count is wanted, a list where a tuple is, a class that needs no arguments
and a name in snake case are what they say. Everything else is refused in one sentence: what was given, what is
allowed, what to write.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterable
from typing import Any

from estimlab.errors import EstimlabError, closest


def described(value: object) -> str:
    """A value in a few words: its text where that is short and plain, else its kind, with the shape of an array."""
    kind = type(value).__name__
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{kind} of shape {tuple(value.shape)}"
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__name__', kind)}"
    text = repr(value)
    readable = len(text) < 80 and "\n" not in text and " at 0x" not in text
    return text if readable else f"{kind} {text[:60]!r}..." if isinstance(value, str) else f"{kind}(...)"


def refusal(who: str, name: str, value: object, allowed: str, advice: str = "") -> EstimlabError:
    """``who(name=value): name must be what is allowed. Advice.``"""
    return EstimlabError(f"{who}({name}={described(value)}): {name} must be {allowed}.{advice and ' ' + advice}")


def plain(value: Any) -> Any:
    """A number of numpy, pandas or torch (one without a gradient) as Python's; everything else as it is."""
    is_scalar = hasattr(value, "item") and getattr(value, "shape", None) == ()
    return value.item() if is_scalar and not getattr(value, "requires_grad", False) else value


def is_number(value: object) -> bool:
    """Whether a plain value is a real number; truth values are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number(value: Any, who: str, name: str, allowed: str = "a number") -> float:
    """A real number, not NaN."""
    given = plain(value)
    if not is_number(given) or given != given:
        raise refusal(who, name, value, allowed, _number_advice(value, name))
    return given if type(given) in (int, float) else float(given)


def count(value: Any, who: str, name: str, least: int = 0, most: float = math.inf) -> int:
    """An integer in range; an integral float such as 1e4 is one."""
    given = plain(value)
    whole = is_number(given) and math.isfinite(given) and given == int(given)
    if not whole or not least <= given <= most:
        allowed = f"an integer >= {least}" if math.isinf(most) else f"an integer from {least} to {most}"
        raise refusal(who, name, value, allowed, _number_advice(value, name))
    return int(given)


def integer(value: Any, who: str, name: str) -> int:
    """An integer of either sign."""
    given = plain(value)
    if not is_number(given) or not math.isfinite(given) or given != int(given):
        raise refusal(who, name, value, "an integer", _number_advice(value, name))
    return int(given)


def flag(value: Any, who: str, name: str) -> bool:
    """True or False."""
    given = plain(value)
    if not isinstance(given, bool):
        raise refusal(who, name, value, "True or False")
    return given


def choice(value: Any, who: str, name: str, allowed: Iterable[Any]) -> Any:
    """One of a few values, mostly texts."""
    known = tuple(allowed)
    for one in known:
        if type(one) is type(value) and one == value:
            return one
    listed = " or ".join(map(repr, known)) if len(known) < 3 else f"one of {', '.join(map(repr, known))}"
    texts = [one for one in known if isinstance(one, str)]
    hint = closest(value, texts).strip() if isinstance(value, str) else ""
    raise refusal(who, name, value, listed, hint)


def function(value: Any, who: str, name: str) -> Any:
    """Something that can be called."""
    if not callable(value):
        raise refusal(who, name, value, "a function")
    return value


def _number_advice(value: object, name: str) -> str:
    """What to write instead, where that can be told."""
    if isinstance(value, str):
        meant = _literal(value)
        return f"Write {name}={meant!r}, without quotes." if is_number(meant) else ""
    if isinstance(value, float) and math.isnan(value):
        return "NaN is not one."
    if hasattr(value, "requires_grad"):
        whose = "its gradient would be lost" if value.requires_grad else "it must be a single number"
        return f"Write {name}=float(...): a tensor is not taken, as {whose}."
    return ""


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return None


class UnknownName(EstimlabError, KeyError):
    """A name that a mapping does not have; a ``KeyError`` too, as every mapping's."""

    __str__ = Exception.__str__  # KeyError would print the repr of the sentence


class Named(dict[str, Any]):
    """A dictionary that says which names it has where one is asked for that it has not."""

    kind = "name"

    @classmethod
    def of(cls, values: Any, kind: str) -> Named:
        """The same items, under names of a kind: "block", "layer"."""
        named = cls(values)
        named.kind = kind
        return named

    def __missing__(self, name: Any) -> Any:
        known = ", ".join(map(repr, self))
        raise UnknownName(f"There is no {self.kind} {name!r}.{closest(str(name), map(str, self))} There are {known}.")
