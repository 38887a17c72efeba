"""Local expectation gradients: one unit summed out at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.claims import Claims
from estimlab.estimators.forks import Forks, Tails, check_tails, flipped
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Noise


@final
@dataclass(frozen=True)
class LocalExpectation(Estimator):
    """Local expectation gradients (Titsias & Lazaro-Gredilla 2015, arXiv 1503.01494).

    A draw: unit i of layer k receives ``F'(a_i) (f(b_i = 1) - f(b_i = 0))``, the other units of its layer as drawn. The
    value at the drawn state is that of the main pass; a fork takes the other one and goes on alone. Unbiased in all
    layers; uses values of the objective only. Exact, without variance, for objectives that are linear in one layer.
    Cost: as many forks as units, mapped together: a tail of passes above each layer, each over (units of the layer)
    times the examples; quadratic in depth and in width.

    Attributes:
        tails: whether forks share the main pass's uniforms above their layer, or draw noise of their own.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.LocalExpectation()).relative_std["0"], 3)
    0.0
    """

    citation: ClassVar[str] = "Titsias & Lazaro-Gredilla 2015, arXiv 1503.01494"

    tails: Tails = "common"

    def __post_init__(self) -> None:
        check_tails("LocalExpectation", self.tails)

    def claims(self) -> Claims:
        """Unbiased; values of the objective only."""
        return Claims(exact_degree=math.inf, unbiased="all layers", reads_extension=False)

    def cost(self, depth: int) -> Cost:
        """The main pass and the mapped tails."""
        return Cost(depth + 1 + depth * (depth + 1) // 2, depth + 1)

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The main value; its gradient sends the local differences to each layer's pre-activations."""
        forks = Forks(problem, noise, self.tails, channel=1, mapped=True)
        terms: list[Tensor] = []

        def states(k: int, a: Tensor, carry: Any) -> Tensor:
            site, fixed = problem.sites[k], a.detach()
            p = site.units.law.cdf(fixed)
            u = noise.uniform(k, 0, p, [p, *forks.reach(k)])
            forks.step(k, u)
            high = u < p
            forks.add(k, carry, flipped(site, high))
            slope = torch.where(high, -1, 1) * site.units.law.density(fixed)
            terms.append((slope * a).flatten(0 if site.shared else 1))
            return site.units.state(high.to(a.dtype))

        value = problem.run(states)
        total = torch.zeros_like(value)
        for other, term in zip(forks.values(), terms, strict=True):
            difference = (other - value.detach()).T
            total = total + (difference * term).sum(1)
        return value + (total - total.detach())
