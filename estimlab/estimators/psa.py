"""PSA: the path sample-analytic estimator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.chains import linear_stages
from estimlab.estimators.claims import Claims
from estimlab.estimators.forks import flipped
from estimlab.estimators.rollout import DrawnSite, rollout
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Noise


@final
@dataclass(frozen=True)
class PSA(Estimator):
    """Path sample-analytic estimator (Shekhovtsov, Yanush & Flach 2020, arXiv 2006.03143, and its code).

    A draw, with s = -1, +1 for low and high and w_ji the weight from unit i to unit j of the next layer:

        u_i = f(x with unit i flipped) - f(x)                                             in the last layer,
        u_i = sum_j -s_j [F(a_j - w_ji (high - low) s_i) - F(a_j)] u_j                    in the others;

    pre-activations receive ``-s_j F'(a_j) u_j``, and the head is differentiated at the mean over i of the objective
    with unit i summed out, ``f(x) + 1/n sum_i (1 - p(x_i)) u_i``. Exact in expectation in the last stochastic layer and
    the head, for every objective; biased below. Linearising both differences gives deep straight-through. Values of
    the objective only. Cost: one pass more at the head, over (units of the last layer) times the examples, and one
    distribution function per weight.

    Needs an ``el.Chain`` whose stages after the first are ``nn.Linear``; any noise law and coding (other laws than the
    logistic: our derivation).

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.PSA()).relative_bias["0"], 3)
    0.0
    """

    citation: ClassVar[str] = "Shekhovtsov, Yanush & Flach 2020, arXiv 2006.03143"
    name: ClassVar[str] = "psa"

    def claims(self) -> Claims:
        """Unbiased in the last layer; values of the objective only."""
        return Claims(exact_degree=math.inf, unbiased="last layer", reads_extension=False)

    def cost(self, depth: int) -> Cost:
        """One pass, and the flipped states' head."""
        return Cost(depth + 2, depth + 2)

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The value, with the gradient of the expected head and of the flips of all layers."""
        stages = linear_stages(problem, self)
        value, path = rollout(problem, noise)
        last = path[-1]
        differences = _flipped_values(problem, last) - value[:, None]
        unlikely = last.law.cdf(-last.towards(last.a.detach())).flatten(1)
        total = value + (unlikely * differences).mean(1)
        u = differences.detach()
        for k in range(len(path) - 1, -1, -1):
            drawn = path[k]
            slope = -drawn.towards(drawn.law.density(drawn.a.detach()))
            total = total + (u * (slope * drawn.a).flatten(1)).sum(1)
            if k > 0:
                u = _through(drawn, path[k - 1], stages[k - 1].weight.detach(), u)
        return value.detach() + (total - total.detach())


def _flipped_values(problem: Problem, last: DrawnSite) -> Float[Tensor, "batch units"]:
    """The objective with each unit of the last layer flipped in turn, all in one pass."""
    size = last.site.size
    states = last.site.units.state(flipped(last.site, last.bit).to(last.a.dtype))
    output = problem.network.output(states.flatten(0, 1))
    return problem.repeated(size).value(output).reshape(size, -1).T


def _through(
    drawn: DrawnSite, below: DrawnSite, weight: Float[Tensor, "units inputs"], u: Float[Tensor, "batch units"]
) -> Float[Tensor, "batch inputs"]:
    """u of the layer below: the change of every unit's distribution function as each input is flipped."""
    a = drawn.a.detach()[:, None]
    step = -below.site.units.gap * below.towards(torch.ones_like(below.a.detach()))
    changes = drawn.law.cdf(a + step[:, :, None] * weight.T) - drawn.law.cdf(a)
    return torch.einsum("bij,bj->bi", changes, -drawn.towards(u))
