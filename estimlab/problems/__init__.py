"""The frozen suite: small networks at several stages of training, each with its exact gradient.

A problem is cited by name and version, ``"toy-late/v1"``, and never changes: an improvement is a new version. What is
read is checked against a hash of its content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estimlab.declared import checked
from estimlab.problems.suite import Description, published, suite_of

if TYPE_CHECKING:  # listing the names needs no torch
    from estimlab.model.problem import Problem
    from estimlab.problems.descent import exact_descent
    from estimlab.references.reference import Gradient

__all__ = ["Description", "cite", "describe", "exact_descent", "load", "names", "truth"]


@checked
def names() -> tuple[str, ...]:
    """Names of all problems, each with its version.

    >>> import estimlab as el
    >>> "quadratic/v1" in el.problems.names()
    True
    """
    return tuple(name for suite in published() for name in suite.names)


@checked
def describe(name: str) -> Description:
    """What a problem is: one sentence, widths, noise law, coding, objective, stage of training, hash.

    Errors:
        EstimlabError: no problem of this name and version.

    >>> import estimlab as el
    >>> toy = el.problems.describe("toy-late/v1")
    >>> toy.widths, toy.law, toy.stage
    ((5, 5, 5), 'Logistic(scale=1.0)', 'late')
    """
    return suite_of(name).describe(name)


@checked
def load(name: str) -> Problem:
    """The problem of this name and version, in float64; a fresh network at every call, which may be trained.

    Errors:
        EstimlabError: no problem of this name and version; its file is missing or damaged.

    >>> import estimlab as el
    >>> el.problems.load("quadratic/v1")
    <Problem: Quadratic of 8 BinaryUnits(law=Logistic(scale=1.0), low=-1.0, high=1.0), 1 example, float64>
    """
    return suite_of(name).load(name)


@checked
def truth(name: str) -> Gradient:
    """The exact gradient of a problem, as it was stored when the problem was made.

    Errors:
        EstimlabError: no problem of this name and version; its file is missing or damaged.

    >>> import estimlab as el
    >>> stored = el.problems.truth("toy-late/v1")
    >>> computed = el.exact_reference(el.problems.load("toy-late/v1"))
    >>> f"{stored.norm() / computed.norm():.9f}"
    '1.000000000'
    """
    return suite_of(name).truth(name)


@checked
def cite(name: str) -> str:
    """The name for a paper: name, version and the first 12 digits of the content's hash.

    Errors:
        EstimlabError: no problem of this name and version.

    >>> import estimlab as el
    >>> el.problems.cite("toy-late/v1")
    'estimlab problem toy-late/v1 (sha256 d52c6a8e0f68)'
    """
    return f"estimlab problem {name} (sha256 {describe(name).sha256[:12]})"


def __getattr__(name: str) -> object:
    if name == "exact_descent":
        from estimlab.problems.descent import exact_descent

        return exact_descent
    from estimlab.errors import UnknownAttribute, closest

    raise UnknownAttribute(
        f"estimlab.problems has no name {name!r}.{closest(name, __all__)} It has {', '.join(__all__)}."
    )
