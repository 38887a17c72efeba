"""Which p1 is best, and whether mixtures of ST and ZGR are as good as Gumbel-Rao at every temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from scipy.optimize import minimize_scalar

import estimlab as el
from estimlab.cells import ProblemMaker
from estimlab.cells.makers import Bits
from estimlab.estimators.base import Estimator
from estimlab.estimators.iw_st import ConstantWeight
from estimlab.measurement.statistics import STATISTICS
from literature.moments import joined, moments
from literature.objectives import Powers
from literature.tested import Quantity


@final
@dataclass(frozen=True)
class BestWeight(Quantity):
    """The p1 that minimises variance plus ``weight`` times the squared bias, found numerically from exact moments.

    One unit in 0/1 coding with the objective ``slope b + curvature b^2 / 2``.

    Attributes:
        variance_of: ``constant``: the variance is taken at the constant slope, only the bias sees the curvature;
            ``true``: both are those of the quadratic.
        weight: lambda'.
        a: pre-activation.
        slope: derivative of the objective at b = 0.
        curvature: its second derivative.
    """

    variance_of: Literal["constant", "true"]
    weight: float
    a: float = 0.7
    slope: float = 1.3
    curvature: float = 2.1

    @property
    def name(self) -> str:
        """An argument of a minimum."""
        kind = "constant slope" if self.variance_of == "constant" else "true quadratic"
        return f"p1 of the least variance + {self.weight:g} x squared bias, {kind}"

    @property
    def setting(self) -> dict[str, str | float]:
        """The objective."""
        return {"problem": f"{self.slope:g} b + {self.curvature / 2:g} b^2, a = {self.a:g}"}

    @property
    def p(self) -> float:
        """Probability of the high state."""
        return float(torch.sigmoid(torch.tensor(self.a, dtype=torch.float64)))

    def measure(self) -> tuple[float, float]:
        """Minimise."""
        found = minimize_scalar(self._functional, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-10})
        return float(found.x), 0.0

    def predicted(self) -> float:
        """The closed form (our derivation), q = 1 - p.

        ``(p + L q p / 2) / (1 + L q p)`` with ``L = lambda' (f'' / c)^2`` at a constant slope c; for a true quadratic
        ``(D f'(0) p + lambda' p q f''^2 / 2) / (D^2 + lambda' p q f''^2)`` with ``D = q f'(1) + p f'(0)``.
        """
        p, q, c, k = self.p, 1 - self.p, self.slope, self.curvature
        if self.variance_of == "constant":
            ratio = self.weight * (k / c) ** 2
            return (p + ratio * q * p / 2) / (1 + ratio * q * p)
        d, bias = q * (c + k) + p * c, self.weight * p * q * k**2
        return (d * c * p + bias / 2) / (d**2 + bias)

    def _functional(self, p1: float) -> float:
        estimator = el.IWST(ConstantWeight(float(p1)))
        quadratic = moments(Bits("", Powers((0.0, self.slope, self.curvature / 2)), (self.a,)), estimator)
        linear = moments(Bits("", Powers((0.0, self.slope)), (self.a,)), estimator)
        spread = linear if self.variance_of == "constant" else quadratic
        (bias,), (variance,) = quadratic.bias.values(), spread.variance.values()
        return float(variance + self.weight * bias**2)


@final
@dataclass(frozen=True)
class Domination(Quantity):
    """How far the best mixture of ST and ZGR stays behind Gumbel-Rao, at the temperature where it is farthest.

    For each temperature the mixture c that minimises the larger of two ratios to Gumbel-Rao with infinitely many
    samples, of bias and of standard deviation; then the largest over the temperatures. At most 1 where for every
    temperature some mixture is better in both.

    Attributes:
        problem: recipe of the problem.
        taus: temperatures of Gumbel-Rao.
        metric: ``raw``: relative bias and standard deviation; ``scale-invariant``: those of the estimate times the
            constant that gives its mean the norm of the gradient.
        places: ``network``: of the whole gradient, ``body``: without the head.
        mixtures: number of mixtures from ST to ZGR.
    """

    problem: ProblemMaker
    taus: tuple[float, ...]
    metric: Literal["raw", "scale-invariant"] = "raw"
    places: Literal["network", "body"] = "network"
    mixtures: int = 21

    @property
    def temperatures(self) -> tuple[float, ...]:
        """All of them."""
        return self.taus

    @property
    def name(self) -> str:
        """With the metric."""
        where = "with the head" if self.places == "network" else "without the head"
        return f"{self.metric} bias and deviation over those of GR(∞), the worse one, {where}"

    @property
    def setting(self) -> dict[str, str | float]:
        """The problem's columns."""
        return self.problem.columns()

    def measure(self) -> tuple[float, float]:
        """Exact at every mixture and temperature."""
        shares = [k / (self.mixtures - 1) for k in range(self.mixtures)]
        mixed = [self._point(el.STZGR(share)) for share in shares]
        worst = 0.0
        for tau in self.temperatures:
            bias, std = self._point(el.AnalyticGumbelRao(tau))
            worst = max(worst, min(max(b / bias, s / std) for b, s in mixed))
        return worst, 0.0

    def _point(self, estimator: Estimator) -> tuple[float, float]:
        prefix = "relative" if self.metric == "raw" else "scale_invariant"
        found = joined(moments(self.problem, estimator), self.places)
        bias, std = (STATISTICS[f"{prefix}_{name}"](found) for name in ("bias", "std"))
        return float(bias), float(std)
