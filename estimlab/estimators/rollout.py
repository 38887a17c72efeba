"""A drawn pass through the network: the value, and what each site went through."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.model.laws import NoiseLaw, PerUnit
from estimlab.model.problem import Problem
from estimlab.model.units import Site
from estimlab.randomness.noise import Noise

Cuts = Callable[[Tensor, NoiseLaw], list[Tensor]]


@dataclass(frozen=True, eq=False)
class DrawnSite:
    """One site of a drawn pass.

    Attributes:
        site: the site.
        carry: what the site's state advances.
        a: pre-activations, differentiable.
        uniform: the uniforms that decided the state.
        bit: whether each unit is high.
    """

    site: Site
    carry: Any
    a: PerUnit
    uniform: PerUnit
    bit: Bool[Tensor, "*shape"]

    @property
    def law(self) -> NoiseLaw:
        """Noise law of the site."""
        return self.site.units.law

    @property
    def state(self) -> PerUnit:
        """The drawn state."""
        return self.site.units.state(self.bit.to(self.a.dtype))

    @property
    def score(self) -> PerUnit:
        """``d log P(state) / d a``, per unit."""
        return self.towards(self.law.score(self.towards(self.a.detach())))

    def towards(self, term: PerUnit) -> PerUnit:
        """The term where the unit is high, and minus the term where it is low."""
        return torch.where(self.bit, term, -term)

    def sum_units(self, term: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Sum over the units: one number per example, or a scalar at a site that all examples share."""
        return sum_units(term, self.site.shared)


def rollout(
    problem: Problem, noise: Noise, channel: int = 0, cuts: Cuts | None = None, degree: float = 0
) -> tuple[Float[Tensor, " batch"], list[DrawnSite]]:
    """Draw every site in turn with one channel of the noise; the value of the objective, and the path that it is of.

    Args:
        problem: what is drawn.
        noise: source of the uniforms.
        channel: 0 for the main pass.
        cuts: where else than at P(high) a draw jumps as a function of a site's uniforms.
        degree: of the draw as a polynomial of them between the cuts.
    """
    path: list[DrawnSite] = []

    def states(k: int, a: Tensor, carry: Any) -> Tensor:
        site = problem.sites[k]
        p = site.units.law.cdf(a.detach())
        extra = [] if cuts is None else cuts(a.detach(), site.units.law)
        u = noise.uniform(k, channel, p, [p, *extra], degree)
        path.append(DrawnSite(site, carry, a, u, u < p))
        return path[-1].state

    return problem.run(states), path


def log_score(path: list[DrawnSite]) -> Float[Tensor, "..."]:
    """``sum_k log P(x_k | x_{k-1})`` up to a constant: a function whose derivative by the parameters is the score."""
    terms = (drawn.sum_units(drawn.score * drawn.a) for drawn in path)
    return sum(terms, start=path[0].a.new_zeros(()))


def sum_units(term: Float[Tensor, "..."], shared: bool) -> Float[Tensor, "..."]:
    """Sum over the units of a site: one number per example, or a scalar at a site that all examples share."""
    return term.sum() if shared else term.flatten(1).sum(1)


def check_count(who: str, field: str, count: int, least: int, most: float = math.inf) -> None:
    """Raise unless the count is an integer in range."""
    if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= most:
        allowed = f"an integer >= {least}" if math.isinf(most) else f"an integer from {least} to {most}"
        raise EstimlabError(f"{who}({field}={count!r}): {field} is {allowed}.")
