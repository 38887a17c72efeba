"""What the command line can name: everything is found by itself, there is no list to edit."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from estimlab.errors import EstimlabError, closest

Listing = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def listing(kind: str) -> Listing:
    """Header and lines of one of ``KINDS``.

    Raises:
        EstimlabError: an unknown kind.
    """
    if kind not in KINDS:
        raise EstimlabError(f"There is no list of {kind!r}.{closest(kind, KINDS)} Lists: {', '.join(KINDS)}.")
    return KINDS[kind]()


def _estimators() -> Listing:
    lines = [(cls.name, cls.exact_degree, cls.unbiased, cls.estimand, cls.citation) for cls in _catalogue()]
    return ("name", "exact degree", "unbiased", "estimand", "citation"), lines


def _studies() -> Listing:
    from estimlab.results.study import list_studies

    return ("name", "question", "cells", "table"), [_study_line(path) for path in list_studies()]


def _study_line(path: Path) -> tuple[Any, ...]:
    from estimlab.results.study import load_study, table_path

    try:
        study = load_study(path).study
    except EstimlabError as error:
        return path.stem, str(error), "", ""  # shown in its place: one broken file hides no other study
    return path.stem, study.question, len(study.cells), "yes" if table_path(path, smoke=False).is_file() else "no"


def _problems() -> Listing:
    return ("name",), [(name,) for name in importlib.import_module("estimlab.problems").names()]


def _classes(package: str, base: str) -> Callable[[], Listing]:
    """Final classes below a base class in a package (or module), with their fields."""

    def lines() -> Listing:
        modules = _modules(package)
        root = next(vars(module)[base] for module in modules if base in vars(module))
        found = {
            value
            for module in modules
            for value in vars(module).values()
            if inspect.isclass(value) and issubclass(value, root) and not inspect.isabstract(value)
        }
        ordered = sorted(found, key=lambda cls: cls.__name__)
        return ("name", "what it is"), [(f"{cls.__name__}{_signature(cls)}", _first_line(cls)) for cls in ordered]

    return lines


KINDS: dict[str, Callable[[], Listing]] = {
    "estimators": _estimators,
    "studies": _studies,
    "problems": _problems,
    "references": _classes("estimlab.references", "Reference"),
    "objectives": _classes("estimlab.model.objectives", "Objective"),
    "laws": _classes("estimlab.model.units", "NoiseLaw"),
}
"""What can be listed."""


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
            f"{_signature(cls)}; give them by --set name=value."
        ) from error


def _find_class(target: str) -> Any:
    module_name, separator, name = target.rpartition(":")
    if not separator:
        by_name = {cls.name: cls for cls in _catalogue()} | {cls.__name__: cls for cls in _catalogue()}
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


def _catalogue() -> list[Any]:
    catalogue: list[Any] = importlib.import_module("estimlab.estimators").catalogue()
    return catalogue


def _modules(package: str) -> list[ModuleType]:
    root = importlib.import_module(package)
    inside = pkgutil.iter_modules(getattr(root, "__path__", []), f"{package}.")
    return [root, *(importlib.import_module(module.name) for module in inside)]


def _signature(cls: type) -> str:
    """Fields and defaults, without the types that make it long."""
    parameters = inspect.signature(cls).parameters.values()
    return f"({', '.join(str(one.replace(annotation=inspect.Parameter.empty)) for one in parameters)})"


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]
