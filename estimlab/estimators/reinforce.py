"""The score-function estimator and its baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.model.problem import Problem
from estimlab.randomness import Noise


@final
@dataclass(frozen=True)
class Reinforce(Estimator):
    """REINFORCE, the score-function estimator (Williams 1992, Machine Learning 8).

    A draw: ``(f(x) - baseline) sum_k d log P(x_k | x_{k-1}) / d theta`` plus the direct derivative of f by the head.
    Unbiased in all layers for every objective and every baseline that does not depend on the draw; uses values of the
    objective only. Cost: one forward and one (local) backward pass.

    Attributes:
        baseline: a number (0: none), or ``"exact_mean"``, the example's expected objective, which the problem must
            carry (``problem.with_expected(reference.gradient(problem).expected)``; ``el.measure`` does so itself).
    """

    citation: ClassVar[str] = "Williams 1992, Machine Learning 8"
    exact_degree: ClassVar[float] = math.inf
    unbiased: ClassVar[Literal["all layers"]] = "all layers"
    reads_extension: ClassVar[bool] = False

    baseline: float | Literal["exact_mean"] = 0.0

    def __post_init__(self) -> None:
        if self.baseline != "exact_mean" and not (
            isinstance(self.baseline, float | int) and math.isfinite(self.baseline)
        ):
            raise EstimlabError(f"Reinforce(baseline={self.baseline!r}): give a number or 'exact_mean'.")

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The value, with the score times the advantage as its gradient."""
        network, carry = problem.network, problem.network.initial(problem.inputs)
        scores: Tensor | float = 0.0
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            law, fixed = site.units.law, a.detach()
            bit = noise.uniform(k, 0, law.cdf(fixed)) < law.cdf(fixed)
            score = torch.where(bit, law.score(fixed), -law.score(-fixed))
            scores = scores + sum_units(score * a, site.shared)
            carry = network.advance(k, carry, site.units.state(bit.to(a.dtype)))
        value = problem.value(network.output(carry))
        linear = (value.detach() - self._baseline(problem)) * scores
        return value + (linear - linear.detach())  # exactly the value

    def _baseline(self, problem: Problem) -> Tensor | float:
        if not isinstance(self.baseline, str):
            return self.baseline
        if problem.expected is None:
            raise EstimlabError(
                "Reinforce(baseline='exact_mean') needs the expected objective of each example: use "
                "problem.with_expected(el.LayerwiseEnumeration().gradient(problem).expected)."
            )
        return problem.expected


def sum_units(term: Tensor, shared: bool) -> Tensor:
    """Sum over the units of a site: one number per example, or a scalar at a site that all examples share."""
    return term.sum() if shared else term.flatten(1).sum(1)
