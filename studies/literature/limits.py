"""How bias and variance behave as the temperature goes to zero: limits, and orders in the temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from estimlab.cells import ProblemMaker
from estimlab.estimators.base import Estimator
from estimlab.results.plotting import appearance
from literature.moments import OfProblem, flat, moments


@final
@dataclass(frozen=True)
class ColdLimit(OfProblem):
    """Limit of ``tau^power X(tau)`` for tau to 0, extrapolated from two temperatures.

    X is the signed relative bias of one unit or the variance; with an error of the given order in tau, the limit is
    ``(2^order q(tau/2) - q(tau)) / (2^order - 1)``.

    Attributes:
        of: ``bias`` or ``variance``.
        power: of the temperature.
        order: of the leading error.
        temperature: the larger one.
    """

    of: Literal["bias", "variance"]
    power: int = 0
    order: int = 1
    temperature: float = 0.01

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Two, one half of the other."""
        return (self.temperature, self.temperature / 2)

    @property
    def name(self) -> str:
        """The limit as a formula."""
        factor = {0: "", 1: "tau x ", -1: "1/tau x ", -2: "1/tau^2 x "}[self.power]
        what = "signed relative bias" if self.of == "bias" else "variance"
        return f"limit of {factor}{what} of {_family(self.estimator)}, tau to 0"

    def measure(self) -> tuple[float, float]:
        """By Richardson's extrapolation."""
        warm, cold = map(self._scaled, self.temperatures)
        return (2**self.order * cold - warm) / (2**self.order - 1), 0.0

    def _scaled(self, tau: float) -> float:
        return tau**self.power * _at(self.problem, self.estimator, tau, self.of)


@final
@dataclass(frozen=True)
class ColdOrder(OfProblem):
    """Order of the bias in the temperature: log2 of its ratio at tau and at half of it.

    Attributes:
        temperature: the larger one.
    """

    temperature: float = 0.01

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Two, one half of the other."""
        return (self.temperature, self.temperature / 2)

    @property
    def name(self) -> str:
        """An exponent."""
        return f"exponent of tau in the bias of {_family(self.estimator)}"

    def measure(self) -> tuple[float, float]:
        """Exact at both temperatures."""
        warm, cold = (_at(self.problem, self.estimator, tau, "bias") for tau in self.temperatures)
        return math.log2(abs(warm / cold)), 0.0


def _at(problem: ProblemMaker, estimator: Any, temperature: float, of: str) -> float:
    m = moments(problem, replace(estimator, temperature=temperature))
    if of == "variance":
        return float(flat(m.variance).sum())
    return float(flat(m.bias) / flat(m.reference))


def _family(estimator: Estimator) -> str:
    return appearance(estimator.name)["label"]
