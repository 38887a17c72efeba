"""Antithetic estimators: the objective at a state and at its mirrored twin, layer by layer."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.reinforce import sum_units
from estimlab.model.base import Site, StochasticNetwork
from estimlab.model.problem import Problem
from estimlab.model.units import NoiseLaw
from estimlab.randomness import Noise

Tails = Literal["independent", "common"]


@dataclass(frozen=True)
class Antithetic(Estimator):
    """One main pass and, for each layer, a twin that takes the mirrored state ``u > 1 - p`` there and goes on alone.

    With the main value f and the twin's value f', layer k's pre-activations receive ``(f - f') * coefficient``.
    Unbiased in all layers; uses values of the objective only. Cost: a tail of passes above each layer, quadratic in
    depth.

    Attributes:
        tails: whether twins draw noise of their own above their layer, or share the main pass's uniforms.
    """

    exact_degree: ClassVar[float] = math.inf
    unbiased: ClassVar[Literal["all layers"]] = "all layers"
    reads_extension: ClassVar[bool] = False
    degree: ClassVar[float]

    tails: Tails = "independent"

    def __post_init__(self) -> None:
        if self.tails not in get_args(Tails):
            raise EstimlabError(f"{type(self).__name__}(tails={self.tails!r}): tails is 'independent' or 'common'.")

    @abc.abstractmethod
    def coefficient(self, a: Tensor, uniform: Tensor, law: NoiseLaw) -> Tensor:
        """What multiplies ``f - f'``, per unit."""

    def cost(self, depth: int) -> Cost:
        """The main pass and a tail above each layer."""
        return Cost(depth + 1 + depth * (depth + 1) // 2, depth + 1)

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The main value; its gradient sends ``(f - f') * coefficient`` to each layer's pre-activations."""
        network, carry = problem.network, problem.network.initial(problem.inputs)
        twins: list[Any] = []
        linear: list[Tensor] = []
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            fixed, p = a.detach(), site.units.law.cdf(a.detach())
            ahead = _preactivations(network, k, twins)
            shared = [site.units.law.cdf(b) for b, _ in ahead] if self.tails == "common" else []
            u = noise.uniform(k, 0, p, [p, 1 - p, *shared], self.degree)
            linear.append(sum_units(self.coefficient(fixed, u, site.units.law) * a, site.shared))
            twins = [*self._step_twins(network, k, site, ahead, u, noise), _advance(network, k, site, carry, u > 1 - p)]
            carry = _advance(network, k, site, carry, u < p)
        value = problem.value(network.output(carry))
        with torch.no_grad():
            twin_values = [problem.value(network.output(twin)) for twin in twins]
        total = sum((value.detach() - f) * term for f, term in zip(twin_values, linear, strict=True))
        assert isinstance(total, Tensor)
        return value + (total - total.detach())  # exactly the value

    def _step_twins(
        self, network: StochasticNetwork, k: int, site: Site, ahead: list[tuple[Tensor, Any]], u: Tensor, noise: Noise
    ) -> list[Any]:
        stepped = []
        for j, (b, carry) in enumerate(ahead):
            p = site.units.law.cdf(b)
            v = u if self.tails == "common" else noise.uniform(k, 1 + j, p)
            stepped.append(_advance(network, k, site, carry, v < p))
        return stepped


def _preactivations(network: StochasticNetwork, k: int, carries: list[Any]) -> list[tuple[Tensor, Any]]:
    with torch.no_grad():
        return [network.preactivation(k, carry) for carry in carries]


def _advance(network: StochasticNetwork, k: int, site: Site, carry: Any, bit: Tensor) -> Any:
    dtype = next(network.parameters()).dtype
    return network.advance(k, carry, site.units.state(bit.to(dtype)))


@final
@dataclass(frozen=True)
class ARM(Antithetic):
    """Augment-REINFORCE-merge (Yin & Zhou 2019, arXiv 1807.11143, eq. 8).

    Coefficient ``(1/2 - u) F'(a) / (p (1 - p))``; for logistic noise of scale 1 the last factor is one.
    """

    citation: ClassVar[str] = "Yin & Zhou 2019, arXiv 1807.11143, eq. 8"
    degree: ClassVar[float] = 1

    def coefficient(self, a: Tensor, uniform: Tensor, law: NoiseLaw) -> Tensor:
        """``F' / (p (1-p))`` is the sum of both scores, which stays finite; zero where the state is certain."""
        return (0.5 - uniform) * (law.score(a) + law.score(-a))


@final
@dataclass(frozen=True)
class DisARM(Antithetic):
    """DisARM, or U2G (Dong, Mnih & Tucker 2020, arXiv 2006.10680, eq. 5; Yin et al. 2020).

    ARM with the uniform integrated out given state s and twin s': coefficient
    ``1/2 (-1)^{s'} 1[s != s'] F'(a) / min(p, 1-p)``, for logistic noise ``1/2 (-1)^{s'} 1[s != s'] sigmoid(|a|)``. The
    form for other laws is our derivation.
    """

    citation: ClassVar[str] = "Dong, Mnih & Tucker 2020, arXiv 2006.10680, eq. 5"
    name: ClassVar[str] = "disarm"
    degree: ClassVar[float] = 0

    def coefficient(self, a: Tensor, uniform: Tensor, law: NoiseLaw) -> Tensor:
        """Plus where the state is high and its twin low, minus where it is the reverse, zero where they agree."""
        p = law.cdf(a)
        sign = (uniform < p).to(a.dtype) - (uniform > 1 - p).to(a.dtype)
        return sign * law.score(-a.abs()) / 2
