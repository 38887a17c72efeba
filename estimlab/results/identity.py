"""Content keys: what makes two cells the same computation.

A key is a hash of a value and of everything inside it: class names, the revision of each class, and the fields that
differ from their defaults. A field added later with a default therefore leaves old keys valid; a change of a default,
or of what a class computes, needs a new ``revision``. Where a class lives is no part of a key: classes may move. Names
must then tell classes apart: classes of this package have names of their own there, others are marked as such, a study
refuses two classes of one name (``require_names``), and a store serves one study.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from estimlab.errors import EstimlabError

_PACKAGE = __name__.partition(".")[0]
_NameOf = Callable[[type], str]


def content_key(obj: object, name_of: _NameOf | None = None) -> str:
    """32 hexadecimal digits that depend on the content of a frozen dataclass, never on addresses or hash seeds.

    Allowed inside: frozen dataclasses, str, bool, int, None, finite floats, enums, tuples of these.

    Args:
        obj: the frozen dataclass.
        name_of: how a class is named; by default ``stable_name``.

    Raises:
        EstimlabError: for anything else, naming the path of the field.

    >>> import estimlab as el
    >>> from estimlab.results import content_key
    >>> content_key(el.GumbelSoftmax(temperature=1.0)) == content_key(el.GumbelSoftmax())
    True
    """
    content = json.dumps(_encode(obj, type(obj).__name__, name_of or stable_name), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def stable_name(cls: type) -> str:
    """The name of a class without its module; a user's ``ZGR`` is another class than the one of this package.

    >>> import estimlab as el
    >>> stable_name(el.ZGR), stable_name(type("ZGR", (el.ZGR,), {"__module__": "mine"}))
    ('ZGR', 'own:ZGR')
    """
    ours = cls.__module__.partition(".")[0] == _PACKAGE
    return cls.__qualname__ if ours else f"own:{cls.__qualname__}"


def require_names(values: Iterable[object]) -> None:
    """Each name inside these values means one class.

    Raises:
        EstimlabError: two classes of one name: a key could not tell them apart.
    """
    known: dict[str, type] = {}
    for value in values:
        for cls in _classes(value):
            if (other := known.setdefault(stable_name(cls), cls)) is not cls:
                raise EstimlabError(
                    f"Two classes are called {cls.__qualname__}: one of the module {other.__module__}, one of "
                    f"{cls.__module__}. Results are found by the names of classes: give one of them another name."
                )


def _classes(value: Any) -> Iterator[type]:
    """The classes of a value and of everything inside it."""
    if isinstance(value, enum.Enum):
        yield type(value)
    elif type(value) is tuple:
        for item in value:
            yield from _classes(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        for field in dataclasses.fields(value):
            yield from _classes(getattr(value, field.name))


def _encode(value: Any, where: str, name_of: _NameOf) -> Any:
    """A JSON value, different for different contents: 1, 1.0, True and "1" stay apart."""
    if isinstance(value, enum.Enum):
        return ["enum", name_of(type(value)), value.name]
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return ["float", _finite(value, where).hex()]
    if type(value) is tuple:
        return ["tuple", *(_encode(item, f"{where}[{index}]", name_of) for index, item in enumerate(value))]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _encode_dataclass(value, where, name_of)
    raise EstimlabError(
        f"{where} is of type {type(value).__module__}.{type(value).__qualname__}, which has no stable content. "
        "Cells and recipes may hold frozen dataclasses, str, bool, int, float, None, enums and tuples of these: "
        "write a list as a tuple, an array as a recipe that builds it, a function as a small frozen dataclass."
    )


def _encode_dataclass(value: Any, where: str, name_of: _NameOf) -> list[Any]:
    cls = type(value)
    # An undecorated subclass inherits the parameters of its parent, and its own annotations are not fields.
    parameters = cls.__dict__.get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        raise EstimlabError(
            f"{where}: {cls.__qualname__} could change after its key was taken. "
            "Decorate the class itself with @dataclass(frozen=True)."
        )
    fields = {}
    for field in dataclasses.fields(value):
        path = f"{where}.{field.name}"
        content = _encode(getattr(value, field.name), path, name_of)
        if not _is_default(field, content, path, name_of):
            fields[field.name] = content
    return ["class", name_of(cls), getattr(cls, "revision", 1), fields]


def _is_default(field: dataclasses.Field, content: Any, where: str, name_of: _NameOf) -> bool:
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        return False
    # As text, since 1 == 1.0 == True and 0.0 == -0.0 would hide a difference.
    return json.dumps(content) == json.dumps(_encode(default, f"the default of {where}", name_of))


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise EstimlabError(f"{where} is {value!r}. A cell's numbers must be finite; use None for 'not given'.")
    return float(value)
