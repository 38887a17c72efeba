"""Antithetic estimators: the objective at a state and at its mirrored twin, layer by layer."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.estimators.average import mean_of_draws
from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.claims import Claims
from estimlab.estimators.forks import Forks, Tails, check_tails
from estimlab.estimators.rollout import check_count, sum_units
from estimlab.model.laws import NoiseLaw
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Noise

Twins = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Antithetic(Estimator):
    """One main pass and, for each layer, twins that take other states there, drawn together, and go on alone.

    With the main value f and a twin's value f', layer k's pre-activations receive ``(f - f') * coefficient``, summed
    over the twins. Unbiased in all layers; uses values of the objective only. Cost: for each twin a tail of passes
    above each layer, quadratic in depth.

    Attributes:
        tails: whether twins draw noise of their own above their layer, or share the main pass's uniforms.
    """

    degree: ClassVar[float] = 0

    tails: Tails = "independent"

    def __post_init__(self) -> None:
        check_tails(type(self).__name__, self.tails)

    def claims(self) -> Claims:
        """Unbiased; values of the objective only."""
        return Claims(exact_degree=math.inf, unbiased="all layers", reads_extension=False)

    @property
    def twins(self) -> int:
        """Number of twins of each layer."""
        return 1

    @property
    def channels(self) -> int:
        """Number of channels that decide the states of a layer and its twins: 0, 1, ..."""
        return 1

    def cuts(self, p: Tensor) -> list[Tensor]:
        """Where the states of a layer and its twins jump as a function of the uniforms of channel 0."""
        return [p]

    @abc.abstractmethod
    def draw_twins(self, k: int, a: Tensor, uniform: Tensor, law: NoiseLaw, noise: Noise) -> Twins:
        """For each twin its bits, and the coefficient of ``f - f'``, per unit."""

    def cost(self, depth: int) -> Cost:
        """The main pass and, for each twin, a tail above each layer."""
        return Cost(depth + 1 + self.twins * (depth * (depth + 1) // 2), depth + 1)

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The main value; its gradient sends ``(f - f') * coefficient`` to each layer's pre-activations."""
        forks = Forks(problem, noise, self.tails, self.channels)
        terms: list[Tensor] = []

        def states(k: int, a: Tensor, carry: Any) -> Tensor:
            site, fixed = problem.sites[k], a.detach()
            p = site.units.law.cdf(fixed)
            cuts = [*self.cuts(p), *forks.reach(k)]
            u = noise.uniform(k, 0, p, cuts, self.degree)
            forks.step(k, u)
            for bit, coefficient in self.draw_twins(k, fixed, u, site.units.law, noise):
                forks.add(k, carry, bit)
                terms.append(sum_units(coefficient * a, site.shared))
            return site.units.state((u < p).to(problem.dtype))

        value = problem.run(states)
        total = torch.zeros_like(value)
        for twin, term in zip(forks.values(), terms, strict=True):
            total = total + (value.detach() - twin) * term
        return value + (total - total.detach())  # exactly the value


@dataclass(frozen=True)
class Mirrored(Antithetic):
    """One twin, which takes the mirrored state: high where ``u > 1 - p``."""

    def cuts(self, p: Tensor) -> list[Tensor]:
        """At p for the state, at 1 - p for the twin."""
        return [p, 1 - p]

    def draw_twins(self, k: int, a: Tensor, uniform: Tensor, law: NoiseLaw, noise: Noise) -> Twins:
        """The mirrored state and its coefficient."""
        return [(uniform > 1 - law.cdf(a), self.coefficient(a, uniform, law))]

    @abc.abstractmethod
    def coefficient(self, a: Tensor, uniform: Tensor, law: NoiseLaw) -> Tensor:
        """What multiplies ``f - f'``, per unit."""


@final
@dataclass(frozen=True)
class ARM(Mirrored):
    """Augment-REINFORCE-merge (Yin & Zhou 2019, arXiv 1807.11143, eq. 8).

    Coefficient ``(1/2 - u) F'(a) / (p (1 - p))``; for logistic noise of scale 1 the last factor is one.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.ARM()).relative_std["0"], 3)
    0.794
    """

    citation: ClassVar[str] = "Yin & Zhou 2019, arXiv 1807.11143, eq. 8"
    degree: ClassVar[float] = 1

    def coefficient(self, a: Tensor, uniform: Tensor, law: NoiseLaw) -> Tensor:
        """``F' / (p (1-p))`` is the sum of both scores, which stays finite; zero where the state is certain."""
        return (0.5 - uniform) * law.log_odds_slope(a)


@final
@dataclass(frozen=True)
class DisARM(Mirrored):
    """DisARM, or U2G (Dong, Mnih & Tucker 2020, arXiv 2006.10680, eq. 5; Yin et al. 2020).

    ARM with the uniform integrated out given state s and twin s': coefficient
    ``1/2 (-1)^{s'} 1[s != s'] F'(a) / min(p, 1-p)``, for logistic noise ``1/2 (-1)^{s'} 1[s != s'] sigmoid(|a|)``. The
    form for other laws is our derivation. Several pairs are independent draws that are averaged: variance and cost are
    divided and multiplied by their number.

    Attributes:
        pairs: number of antithetic pairs, at least 1.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.DisARM()).relative_std["0"], 3)
    0.712
    """

    citation: ClassVar[str] = "Dong, Mnih & Tucker 2020, arXiv 2006.10680, eq. 5"
    name: ClassVar[str] = "disarm"

    pairs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("DisARM", "pairs", self.pairs, 1)

    def cost(self, depth: int) -> Cost:
        """That of one pair, times the number of pairs."""
        one = super().cost(depth)
        return Cost(self.pairs * one.forward, self.pairs * one.backward)

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The first pair's main value, with the mean gradient of all pairs."""
        return mean_of_draws(super().surrogate, problem, noise, self.pairs)

    def coefficient(self, a: Tensor, uniform: Tensor, law: NoiseLaw) -> Tensor:
        """Plus where the state is high and its twin low, minus where it is the reverse, zero where they agree."""
        p = law.cdf(a)
        sign = (uniform < p).to(a.dtype) - (uniform > 1 - p).to(a.dtype)
        return sign * law.score(-a.abs()) / 2
