"""What a user gives to a measurement, made into what is meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from estimlab.arguments import refusal
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.model.problem import Problem
from estimlab.references.choice import exact_reference
from estimlab.references.reference import Gradient, Reference


def problem(value: Any, who: str) -> Problem:
    """A problem."""
    found: Problem = Problem.given(value, who, "problem")
    return found


def estimator(value: Any, who: str) -> Estimator:
    """An estimator, of its class or its name too."""
    found: Estimator = Estimator.given(value, who, "estimator")
    return found


def estimators(value: Any, who: str) -> tuple[Estimator, ...]:
    """Several estimators, in any iterable."""
    if isinstance(value, (str, type, Estimator, dict)) or not isinstance(value, Iterable):
        raise refusal(who, "estimators", value, "a list of estimators", "For a single one write [estimator].")
    found = tuple(Estimator.given(one, who, f"estimators[{index}]") for index, one in enumerate(value))
    if not found:
        raise EstimlabError(f"{who}(estimators=[]): give at least one estimator, for example [el.ZGR()].")
    return found


def truth(value: Any, problem: Problem, who: str, force: bool = False) -> Gradient:
    """The true gradient: as it was computed, or by a reference, its class or its name; exact without any."""
    if isinstance(value, Gradient):
        value.check_problem(problem)
        return value
    if value is None:
        return exact_reference(problem, force)
    reference: Reference = Reference.given(value, who, "reference")
    return reference.gradient(problem)
