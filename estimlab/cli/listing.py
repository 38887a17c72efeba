"""What the command line can list: everything is found by itself, there is no list to edit."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
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
    header = ("name", "exact degree", "unbiased", "reads extension", "bounded at zero", "passes", "citation")
    estimators = importlib.import_module("estimlab.estimators").catalogue()
    return header, [_estimator_line(cls) for cls in estimators]


def _estimator_line(cls: Any) -> tuple[Any, ...]:
    cost, claims = cls().cost(3), cls().claims()
    reads = "yes" if claims.reads_extension else "no"
    bounded = {None: "", True: "yes", False: "no"}[claims.bounded_variance]
    passes = f"{cost.forward} + {cost.backward}"
    return cls.name, claims.exact_degree, claims.unbiased, reads, bounded, passes, cls.citation


def _studies() -> Listing:
    from estimlab.results.study import list_studies

    return ("name", "question", "cells", "table"), [_study_line(path) for path in list_studies()]


def _study_line(path: Path) -> tuple[Any, ...]:
    from estimlab.results.places import known_table
    from estimlab.results.study import load_study

    try:
        study = load_study(path).study
    except EstimlabError as error:
        return path.stem, str(error), "", ""  # shown in its place: one broken file hides no other study
    return path.stem, study.question, len(study.cells), "yes" if known_table(path, smoke=False).is_file() else "no"


def _problems() -> Listing:
    problems = importlib.import_module("estimlab.problems")
    found = [problems.describe(name) for name in problems.names()]
    header = ("name", "units", "noise", "examples", "exact objective", "what it is")
    return header, [(d.name, *_problem_line(d)) for d in found]


def _problem_line(d: Any) -> tuple[Any, ...]:
    return "-".join(map(str, d.widths)), d.law, d.examples, f"{d.expected_objective:.6g}", d.summary


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
        return ("name", "what it is"), [(f"{cls.__name__}{signature(cls)}", _first_line(cls)) for cls in ordered]

    return lines


def _recipes() -> Listing:
    recipes = importlib.import_module("estimlab.training.recipes")
    return ("name", "what it is"), [(name, cls.summary) for name, cls in recipes.named_recipes().items()]


KINDS: dict[str, Callable[[], Listing]] = {
    "estimators": _estimators,
    "studies": _studies,
    "problems": _problems,
    "references": _classes("estimlab.references", "Reference"),
    "objectives": _classes("estimlab.model.objectives", "Objective"),
    "recipes": _recipes,
    "laws": _classes("estimlab.model.laws", "NoiseLaw"),
}
"""What can be listed."""


def _modules(package: str) -> list[ModuleType]:
    root = importlib.import_module(package)
    inside = pkgutil.iter_modules(getattr(root, "__path__", []), f"{package}.")
    return [root, *(importlib.import_module(module.name) for module in inside)]


def signature(cls: type) -> str:
    """Fields and defaults, without the types that make it long."""
    parameters = inspect.signature(cls).parameters.values()
    return f"({', '.join(str(one.replace(annotation=inspect.Parameter.empty)) for one in parameters)})"


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]
