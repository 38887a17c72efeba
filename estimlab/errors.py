"""The base of every error that is meant for the user."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import Enum


class EstimlabError(ValueError):
    """What was given, what is allowed and what to do; the command line prints it without a traceback.

    >>> import estimlab as el
    >>> try:
    ...     el.BinaryUnits(low=1.0, high=1.0)
    ... except el.EstimlabError as error:
    ...     print(error)
    BinaryUnits(low=1.0, high=1.0): low must be smaller than high, and both finite.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


class Impurity(Enum):
    """Why a stage, a head or an objective is not a function of one example.

    >>> import estimlab as el
    >>> el.Impurity("it couples examples").name
    'COUPLES'
    """

    WRITES = "it writes into what it is given"
    DRAWS = "it draws random numbers"
    UNREPEATABLE = "it gives another result at a second call"
    COUPLES = "it couples examples"


class ImpureError(EstimlabError):
    """A part of a problem is not a function of one example.

    Attributes:
        reason: why it is not.
        where: the part, or the module in it, by its name in the network.

    >>> import estimlab as el
    >>> from torch import nn, zeros
    >>> network = el.Chain([nn.Sequential(nn.Linear(2, 1), nn.Dropout())])
    >>> try:
    ...     el.Problem(network, el.Quadratic(linear=(1.0,)), inputs=zeros(4, 2))
    ... except el.ImpureError as error:
    ...     print(error.where, error.reason.name)
    stages.0.1 DRAWS
    """

    def __init__(self, message: str, reason: Impurity, where: str):
        super().__init__(message)
        self.reason, self.where = reason, where

    def __reduce__(self) -> tuple[type, tuple[str, Impurity, str]]:
        return type(self), (str(self), self.reason, self.where)


class UnknownAttribute(EstimlabError, AttributeError):
    """A name that a module does not have; an ``AttributeError`` too, as Python asks for."""


def closest(name: object, known: Iterable[str]) -> str:
    """`` Did you mean 'x' or 'y'?`` for the known names that resemble the given one, else the empty string."""
    matches = difflib.get_close_matches(str(name), list(known), n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""
