"""MuProp: the score function with the Taylor expansion of a mean-field network as its control variate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.claims import Claims
from estimlab.estimators.rollout import rollout
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Noise


@final
@dataclass(frozen=True)
class MuProp(Estimator):
    """MuProp (Gu, Levine, Sutskever & Mnih 2016, arXiv 1511.05176, eq. 3).

    A draw: with a deterministic mean-field pass from the input, its states m_k, value f(m) and slopes
    ``g_k = d f(m) / d m_k``, the pre-activations of layer k receive

        d log P(x_k) / d a_k [f(x) - f(m) - g_k (x_k - m_k)] + g_k (high - low) F'(a_k).

    The last term is the mean of what the linear part of the bracket subtracts, given the *drawn* states below; so the
    estimate is unbiased in all layers for every objective and whatever m and g are (taking a_k there is our reading of
    deep networks). Cost: a drawn and a mean-field pass, forward and backward.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.MuProp()).relative_std["0"], 3)
    1.521
    """

    citation: ClassVar[str] = "Gu, Levine, Sutskever & Mnih 2016, arXiv 1511.05176, eq. 3"
    name: ClassVar[str] = "muprop"

    def claims(self) -> Claims:
        """Unbiased."""
        return Claims(exact_degree=math.inf, unbiased="all layers")

    def cost(self, depth: int) -> Cost:
        """Both passes; the first layer of the mean-field pass is not differentiated."""
        return Cost(2 * (depth + 1), 2 * depth + 1)

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The value, with the terms of all layers as its gradient."""
        value, path = rollout(problem, noise)
        mean_value, means, slopes = mean_field(problem)
        total = torch.zeros_like(mean_value)
        for drawn, mean, slope in zip(path, means, slopes, strict=True):
            expansion = drawn.sum_units(slope * (drawn.state - mean))
            rest = value.detach() - mean_value - expansion
            known = slope * drawn.site.units.gap * drawn.law.density(drawn.a.detach())
            total = total + rest * drawn.sum_units(drawn.score * drawn.a)
            total = total + drawn.sum_units(known * drawn.a)
        return value + (total - total.detach())


def mean_field(problem: Problem) -> tuple[Float[Tensor, " batch"], Sequence[Tensor], Sequence[Tensor]]:
    """Values of the mean-field pass, its states, and the slope of each example's value by each state.

    At a site that all examples share, the slope of the mean over the examples.
    """

    def run(shifts: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        means: list[Tensor] = []

        def states(k: int, a: Tensor, carry: Any) -> Tensor:
            units = problem.sites[k].units
            means.append(units.state(units.law.cdf(a)) + shifts[k])
            return means[-1]

        return problem.run(states), means

    like = next(problem.network.parameters())
    shapes = [site.shape if site.shared else (problem.batch, *site.shape) for site in problem.sites]
    with torch.no_grad():  # nothing here is differentiated again
        result: Any = torch.func.vjp(run, [like.new_zeros(shape) for shape in shapes], has_aux=True)
        value, pull, means = result
        (slopes,) = pull(torch.ones_like(value))
    counts = [problem.batch if site.shared else 1 for site in problem.sites]
    return value, means, [slope / count for slope, count in zip(slopes, counts, strict=True)]
