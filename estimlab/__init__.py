"""estimlab: bias, variance and mean squared error of gradient estimators, measured against the exact gradient.

``__init__.pyi`` lists the public names. Each is loaded at its first use: ``import estimlab`` is light, without torch.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _homes() -> dict[str, str]:
    """The module of every public name, as the stub beside this file says it to type checkers and editors."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_HOME_OF = _homes()
_MODULES = [name for name, home in _HOME_OF.items() if home == "estimlab"]

__all__ = sorted(_HOME_OF.keys() - set(_MODULES))


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"estimlab.{name}")
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    if name.startswith("__"):  # what Python itself asks for
        raise AttributeError(name)
    from estimlab.errors import UnknownAttribute, closest

    known = [*__all__, *_MODULES]
    raise UnknownAttribute(
        f"estimlab has no name {name!r}.{closest(name, known)} dir(estimlab) lists all; estimators are listed by "
        "`estimlab list estimators` too."
    )


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
