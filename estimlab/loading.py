"""An estimator that a user names on the command line: of the catalogue, or of a file or module of their own."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from estimlab.errors import EstimlabError, closest
from estimlab.listing import catalogue, signature


def build_estimator(target: str, settings: list[str]) -> Any:
    """The estimator that a user names.

    Args:
        target: ``MODULE:CLASS``, ``PATH.py:CLASS``, or the name of an estimator of the catalogue.
        settings: its fields, as ``name=value``; a value is a Python literal, or else text.

    Raises:
        EstimlabError: an unknown module, class or field, a field that is missing.
    """
    cls = _find_class(target)
    fields = dict(_setting(text) for text in settings)
    try:
        return cls(**fields)
    except TypeError as error:
        raise EstimlabError(
            f"{cls.__name__} cannot be built with {fields or 'its defaults'}: {error}. Its fields are "
            f"{signature(cls)}; give them by --set name=value."
        ) from error


def _find_class(target: str) -> Any:
    module_name, separator, name = target.rpartition(":")
    if not separator:
        by_name = {cls.name: cls for cls in catalogue()} | {cls.__name__: cls for cls in catalogue()}
        if target in by_name:
            return by_name[target]
        names = sorted({cls.name for cls in by_name.values()})
        raise EstimlabError(
            f"There is no estimator {target!r}.{closest(target, by_name)} Names: {', '.join(names)}. "
            "For your own class give MODULE:CLASS or PATH.py:CLASS."
        )
    module = _import(module_name)
    classes = {key: value for key, value in vars(module).items() if inspect.isclass(value)}
    if name not in classes:
        defined = sorted(key for key, value in classes.items() if value.__module__ == module.__name__)
        raise EstimlabError(
            f"{module_name} has no class {name!r}.{closest(name, classes)} "
            f"It defines {', '.join(defined) or 'no class'}."
        )
    return classes[name]


def _import(name: str) -> ModuleType:
    """A module by its dotted name, also from the working directory, or by the path of its file."""
    try:
        if not name.endswith(".py"):
            sys.path.insert(0, os.getcwd())
            return importlib.import_module(name)
        path = Path(name)
        spec = importlib.util.spec_from_file_location(f"estimlab_user_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module
    except Exception as error:
        raise EstimlabError(
            f"{name} cannot be imported. {type(error).__name__}: {error}. Give MODULE:CLASS with a module that Python "
            "finds from this folder, or PATH.py:CLASS."
        ) from error


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise EstimlabError(f"--set {text!r}: write name=value, for example --set temperature=0.5.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
