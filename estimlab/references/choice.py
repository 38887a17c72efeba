"""The choice of the exact gradient: layer by layer, path by path, or a sentence that says how to sample it."""

from __future__ import annotations

from estimlab.declared import checked
from estimlab.errors import EstimlabError
from estimlab.model.problem import Problem
from estimlab.references.layerwise import LayerwiseEnumeration
from estimlab.references.paths import PathEnumeration
from estimlab.references.reference import Gradient


@checked
def exact_reference(problem: Problem, force: bool = False) -> Gradient:
    """The exact gradient by the enumeration that serves the problem: the truth wherever no reference is given.

    A chain is enumerated layer by layer (``LayerwiseEnumeration()``), any other network of at most
    ``PathEnumeration.max_units`` binary units path by path (``PathEnumeration()``).

    Args:
        problem: any problem that can be enumerated.
        force: ignore the budget of ``LayerwiseEnumeration``.

    Errors:
        EstimlabError: too many units to enumerate; whatever the chosen reference refuses.

    >>> import estimlab as el
    >>> truth = el.exact_reference(el.problems.load("quadratic/v1"))
    >>> truth.exact, truth.reference.partition("(")[0]
    (True, 'LayerwiseEnumeration')
    """
    Problem.given(problem, "exact_reference", "problem")
    if LayerwiseEnumeration.serves(problem):
        return LayerwiseEnumeration().gradient(problem, force=force)
    _require_few_units(problem)
    return PathEnumeration().gradient(problem)


def _require_few_units(problem: Problem) -> None:
    """Refuse what has too many paths."""
    units = sum(site.size for site in problem.sites)
    if units > PathEnumeration.max_units:
        raise EstimlabError(
            f"The network is a {type(problem.network).__name__}, no el.Chain, and its {units} binary units have "
            f"2^{units} paths, of which at most 2^{PathEnumeration.max_units} are enumerated: sample the gradient, by "
            "reference=el.MonteCarloReference(relative_error=0.01)."
        )
