"""Content keys: what makes two cells the same computation.

A key is a hash of a value and of everything inside it: class names, the revision of each class, and the fields that
differ from their defaults. A field added later with a default therefore leaves old keys valid; a change of a default,
or of what a class computes, needs a new ``revision``.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from typing import Any

from estimlab.errors import EstimlabError


def content_key(obj: object) -> str:
    """32 hexadecimal digits that depend on the content of a frozen dataclass, never on addresses or hash seeds.

    Allowed inside: frozen dataclasses, str, bool, int, None, finite floats, enums, tuples of these.

    Raises:
        EstimlabError: for anything else, naming the path of the field.
    """
    content = json.dumps(_encode(obj, type(obj).__name__), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _encode(value: Any, where: str) -> Any:
    """A JSON value, different for different contents: 1, 1.0, True and "1" stay apart."""
    if isinstance(value, enum.Enum):
        return ["enum", _class_name(type(value)), value.name]
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return ["float", _finite(value, where).hex()]
    if type(value) is tuple:
        return ["tuple", *(_encode(item, f"{where}[{index}]") for index, item in enumerate(value))]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _encode_dataclass(value, where)
    raise EstimlabError(
        f"{where} is of type {type(value).__module__}.{type(value).__qualname__}, which has no stable content. "
        "Cells and recipes may hold frozen dataclasses, str, bool, int, float, None, enums and tuples of these: "
        "write a list as a tuple, an array as a recipe that builds it, a function as a small frozen dataclass."
    )


def _encode_dataclass(value: Any, where: str) -> list[Any]:
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
        content = _encode(getattr(value, field.name), path)
        if not _is_default(field, content, path):
            fields[field.name] = content
    return ["class", _class_name(cls), getattr(cls, "revision", 1), fields]


def _is_default(field: dataclasses.Field, content: Any, where: str) -> bool:
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        return False
    # As text, since 1 == 1.0 == True and 0.0 == -0.0 would hide a difference.
    return json.dumps(content) == json.dumps(_encode(default, f"the default of {where}"))


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise EstimlabError(f"{where} is {value!r}. A cell's numbers must be finite; use None for 'not given'.")
    return float(value)


def _class_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
