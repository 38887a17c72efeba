"""Frozen dataclasses whose fields are checked as they are declared: one place for laws, objectives, estimators, ...

A class says ``temperature: float`` and no more; what is not a number is refused with a sentence that names the field,
and so is a field that does not exist. A class of a user's own that derives from ours is treated the same.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from estimlab import arguments
from estimlab.arguments import described
from estimlab.errors import EstimlabError, closest

P = ParamSpec("P")
T = TypeVar("T")


def snake_case(name: str) -> str:
    """``StraightThrough`` as ``straight_through``."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", words).lower()


class Checked:
    """Base of what a user makes: arguments that a class has not, or that are missing, are refused by name.

    Errors:
        EstimlabError: these, and an abstract class.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Refuse what ``__init__`` could not take, before it says so in Python's words."""
        if missing := sorted(getattr(cls, "__abstractmethods__", ())):
            methods = ", ".join(f"{method}()" for method in missing)
            raise EstimlabError(f"{cls.__name__} is abstract: it lacks {methods}.{_concrete(cls)}")
        _check_names(cls.__name__, inspect.signature(cls.__init__), (None, *args), kwargs, cls)
        return super().__new__(cls)

    def __reduce__(self) -> Any:
        return _blank, (type(self),), self.__getstate__()  # copies are made without arguments


class Declared(Checked):
    """Base of frozen dataclasses whose fields a user gives.

    Errors:
        EstimlabError: a value that its annotation does not allow, beside those of ``Checked``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("__post_init__")
        if own is not None:
            setattr(cls, "__post_init__", _after_conversion(own))  # noqa: B010 - mypy refuses to assign a method

    def __post_init__(self) -> None:
        """Convert the fields; a ``__post_init__`` of a subclass begins with it, without calling it."""
        self._convert()

    def _convert(self) -> None:
        convert_fields(self)

    @classmethod
    def given(cls, value: Any, who: str, name: str) -> Any:
        """The instance that a user means: an instance, a class without required fields, or its name in snake case."""
        if isinstance(value, cls):
            return value
        if isinstance(value, type) and issubclass(value, cls):
            return value()
        if isinstance(value, str) and cls.choices():
            known = {key: found for found in cls.choices() for key in (_name(found), found.__name__)}
            if value in known:
                return known[value]()
            names = ", ".join(sorted({key for key in known if key.islower()}))
            hint = f"{closest(value, known).strip()} Names: {names}.".strip()
            raise arguments.refusal(who, name, value, cls.called(), hint)
        raise arguments.refusal(who, name, value, cls.called(), cls.advice(value))

    @classmethod
    def called(cls) -> str:
        """What an instance is called in a sentence."""
        words = re.sub("([a-z])([A-Z])", r"\1 \2", cls.__name__).lower()
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}{_example(cls)}"

    @classmethod
    def advice(cls, value: Any) -> str:
        """What to write in place of a wrong value, where it can be told."""
        return ""

    @classmethod
    def choices(cls) -> list[type]:
        """The classes that can be named."""
        return _public(cls)


def _name(cls: type) -> str:
    """In tables and on the command line."""
    return str(getattr(cls, "name", snake_case(cls.__name__)))


def _blank(cls: type) -> Any:
    """An instance without fields, for pickle and copy."""
    return object.__new__(cls)


def _below(cls: type) -> list[type]:
    """The classes below (or at) a class that can be built."""
    found = [] if inspect.isabstract(cls) else [cls]
    subclasses: list[type] = cls.__subclasses__()
    return found + [one for sub in subclasses for one in _below(sub)]


def _public(cls: type) -> list[type]:
    """Of these the ones with a name in the package."""
    names = importlib.import_module("estimlab").__all__
    return [one for one in _below(cls) if one.__module__.startswith("estimlab.") and one.__name__ in names]


def _example(cls: type) -> str:
    """`` such as el.Logistic()`` for a class with an example in the package's own names."""
    found = [one for one in _public(cls) if not _required(one)]
    return f" such as el.{found[0].__name__}()" if found else ""


def _concrete(cls: type) -> str:
    names = [f"el.{one.__name__}" for one in _public(cls)]
    some = ", ".join(names[:4])
    use = f" Use {some}{' or another' if len(names) > 4 else ''}, or write" if some else " Write"
    return f"{use} a class of your own that has all of them."


def _required(cls: type) -> list[str]:
    """Fields without a default."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.default is p.empty and p.kind in plain]


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """A function whose callers are told in a sentence which of their arguments it has not, or lacks."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        _check_names(function.__qualname__, signature, args, kwargs)
        return function(*args, **kwargs)

    return call


def _check_names(
    who: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any], cls: type | None = None
) -> None:
    """Raise unless the arguments fit the signature, of a class's ``__init__`` or of a function."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        parameters = list(signature.parameters.values())
        if next(iter(signature.parameters), "") == "self":
            if cls is None and len(args) + len(kwargs) < 2:
                made = f"el.{who.replace('.', '().', 1)}(...)"
                raise EstimlabError(f"{who} is called on the class: make an instance first, {made}.") from None
            parameters, args = parameters[1:], args[1:]
        raise EstimlabError(_misfit(who, parameters, args, kwargs, cls)) from None


def _misfit(
    who: str, parameters: list[inspect.Parameter], args: tuple[Any, ...], kwargs: dict[str, Any], cls: type | None
) -> str:
    """What is wrong with the arguments, in a sentence."""
    known = [p.name for p in parameters]
    kind = "fields" if cls is not None and "__dataclass_fields__" in vars(cls) else "arguments"
    has = f"Its {kind} are {', '.join(known)}." if known else f"It has no {kind}."
    for name in kwargs:
        if name not in known:
            if cls is not None and kind == "arguments" and name in inspect.get_annotations(cls):
                return f"{who}({name}=...): write @dataclass(frozen=True) before class {who}, to make it a field."
            what = f"there is no {kind.removesuffix('s')} {name!r}.{closest(name, known)}"
            return f"{who}({name}={described(kwargs[name])}): {what} {has}"
    if len(args) > len(known):
        return f"{who} got {len(args)} value(s) without a name: give at most {len(known)}. {has}"
    twice = [name for name in known[: len(args)] if name in kwargs]
    if twice:
        return f"{who} got {twice[0]} twice, by place and by name: give it once."
    lacking = [p.name for p in parameters[len(args) :] if p.default is p.empty and p.name not in kwargs]
    return f"{who}(): give {' and '.join(lacking)}. {has}"


def _after_conversion(post_init: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(post_init)
    def checked(self: Any) -> None:
        self._convert()
        post_init(self)

    return checked


def convert_fields(value: Any) -> None:
    """Make each field of a frozen dataclass what its annotation says, or refuse it."""
    cls: Any = type(value)
    hints = _hints(cls)
    for field in dataclasses.fields(value):
        hint = hints.get(field.name, Any)
        if field.init:
            given = getattr(value, field.name)
            converted = convert(given, hint, cls.__name__, field.name)
            if converted is not given:
                object.__setattr__(value, field.name, converted)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    """Types of the fields; none of a class whose annotations name what only its author's code can see."""
    try:
        return get_type_hints(cls)
    except Exception:
        return {}


def convert(value: Any, hint: Any, who: str, name: str) -> Any:
    """A value as an annotation wants it. What the annotation does not tell (``Any``, a shape) stays as it is."""
    if get_origin(hint) in (Union, types.UnionType):
        return _one_of(value, get_args(hint), who, name)
    if get_origin(hint) is Literal:
        return arguments.choice(value, who, name, get_args(hint))
    if get_origin(hint) is tuple:
        return _tuple(value, get_args(hint), who, name)
    if hint in _PLAIN:
        return _PLAIN[hint](value, who, name)
    if _is_callable(hint):
        return arguments.function(value, who, name)
    if isinstance(hint, type) and issubclass(hint, Declared):
        return hint.given(value, who, name)
    return value


def _text(value: Any, who: str, name: str) -> str:
    if not isinstance(value, str):
        raise arguments.refusal(who, name, value, "text")
    return value


def _path(value: Any, who: str, name: str) -> Path:
    if not isinstance(value, (str, Path)):
        raise arguments.refusal(who, name, value, "the path of a file")
    return Path(value)


_PLAIN: dict[Any, Callable[[Any, str, str], Any]] = {
    float: arguments.number,
    int: arguments.integer,
    bool: arguments.flag,
    str: _text,
    Path: _path,
}
_WORDS = {float: "a number", int: "an integer", bool: "True or False", str: "text", Path: "a path"}


def _one_of(value: Any, hints: tuple[Any, ...], who: str, name: str) -> Any:
    """The first of several types that takes the value."""
    if value is None and type(None) in hints:
        return None
    others = [hint for hint in hints if hint is not type(None)]
    for hint in others:
        try:
            return convert(value, hint, who, name)
        except EstimlabError:
            if len(others) == 1 and not isinstance(hint, type):
                raise  # a choice or a class says more than the union could
    texts = [text for hint in others if get_origin(hint) is Literal for text in get_args(hint)]
    hint = closest(value, texts).strip() if isinstance(value, str) else ""
    raise arguments.refusal(who, name, value, " or ".join(map(_words, hints)), hint)


def _words(hint: Any) -> str:
    """What an annotation allows, in words."""
    if hint is type(None):
        return "None"
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) is tuple:
        inner, *rest = get_args(hint)
        return f"a tuple of {_plural(inner)}" if rest == [...] else f"a tuple of {1 + len(rest)} values"
    if isinstance(hint, type) and issubclass(hint, Declared):
        return hint.called()
    if isinstance(hint, type) and hint not in _WORDS:
        return f"a {hint.__name__}"
    return _WORDS.get(hint, "a function" if _is_callable(hint) else str(getattr(hint, "__name__", hint)))


def _plural(hint: Any) -> str:
    if get_origin(hint) is tuple:
        inner, *rest = get_args(hint)
        return f"tuples of {_plural(inner)}" if rest == [...] else f"tuples of {1 + len(rest)} values"
    first, _, noun = _words(hint).partition(" ")
    return f"{noun or first}s"


def _is_callable(hint: Any) -> bool:
    return get_origin(hint) is Callable or hint is Callable


def _tuple(value: Any, hints: tuple[Any, ...], who: str, name: str) -> tuple[Any, ...]:
    """A tuple, from a list or a one-dimensional array too."""
    given = value.tolist() if hasattr(value, "tolist") and value.ndim else value
    several = hints[-1:] == (...,)
    fits = isinstance(given, (tuple, list)) and (several or len(given) == len(hints))
    if not fits:
        raise arguments.refusal(who, name, value, _words(tuple[hints]))
    each = hints[:1] * len(given) if several else hints
    pairs = enumerate(zip(given, each, strict=True))
    converted = tuple(convert(item, hint, who, f"{name}[{index}]") for index, (item, hint) in pairs)
    same = isinstance(value, tuple) and all(new is old for new, old in zip(converted, value, strict=True))
    return value if same else converted
