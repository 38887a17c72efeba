"""Local expectation gradients: one unit summed out at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils._pytree import tree_leaves

from estimlab.errors import EstimlabError
from estimlab.estimators.arm import Tails, check_tails
from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.claims import Claims
from estimlab.model.network import Site
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
        network, carry = problem.network, problem.network.initial(problem.inputs)
        forks: list[Any] = []  # one per layer below, each with the flipped unit as its first dimension
        terms: list[Tensor] = []
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            fixed, law = a.detach(), site.units.law
            forks, ahead = self._ahead(problem, k, forks)
            p = law.cdf(fixed)
            u = noise.uniform(k, 0, p, [p, *(q for qs in ahead for q in qs if self.tails == "common")])
            bits = [self._bits(k, 1 + j, q, u, site, noise) for j, q in enumerate(ahead)]
            forks = [
                *(_advance(problem, k, fork, bit) for fork, bit in zip(forks, bits, strict=True)),
                _flip(problem, k, carry, u < p),
            ]
            slope = torch.where(u < p, -1, 1) * law.density(fixed)
            terms.append((slope * a).flatten(0 if site.shared else 1))
            carry = network.advance(k, carry, site.units.state((u < p).to(a.dtype)))
        value = problem.value(network.output(carry))
        with torch.no_grad():
            values = [torch.vmap(lambda fork: problem.value(network.output(fork)))(fork) for fork in forks]
        differences = [(flipped - value.detach()).T for flipped in values]
        total = sum((d * term).sum(1) for d, term in zip(differences, terms, strict=True))
        assert isinstance(total, Tensor)
        return value + (total - total.detach())

    def _bits(self, k: int, channel: int, q: Tensor, u: Tensor, site: Site, noise: Noise) -> Bool[Tensor, "..."]:
        """States of the forks of one layer below at site k: uniforms have the examples as their first dimension."""
        if self.tails == "common":
            return u < q
        if site.shared:
            return noise.uniform(k, channel, q) < q
        return noise.uniform(k, channel, q.transpose(0, 1)).transpose(0, 1) < q

    def _ahead(self, problem: Problem, k: int, forks: list[Any]) -> tuple[list[Any], list[Tensor]]:
        """The forks after their pre-activations of site k, and P(high) of each."""
        with torch.no_grad():
            pairs = [torch.vmap(lambda f: _tensors(problem.network.preactivation(k, f)))(fork) for fork in forks]
        return [carry for _, carry in pairs], [problem.sites[k].units.law.cdf(b) for b, _ in pairs]


def _advance(problem: Problem, k: int, forks: Any, bits: Tensor) -> Any:
    states = problem.sites[k].units.state(bits.to(problem.dtype))
    with torch.no_grad():
        return torch.vmap(lambda fork, state: _tensors(problem.network.advance(k, fork, state)))(forks, states)


def _flip(problem: Problem, k: int, carry: Any, bit: Tensor) -> Any:
    """The carries after site k with each unit flipped in turn."""
    site = problem.sites[k]
    unit = torch.eye(site.size, dtype=torch.bool, device=bit.device)
    unit = unit.reshape(site.size, *(() if site.shared else (1,)), *site.shape)
    states = site.units.state((bit ^ unit).to(problem.dtype))
    with torch.no_grad():
        return torch.vmap(lambda state: _tensors(problem.network.advance(k, carry, state)))(states)


def _tensors(carry: Any) -> Any:
    """The carry, refused where forks cannot be mapped over it."""
    others = [leaf for leaf in tree_leaves(carry) if not isinstance(leaf, Tensor)]
    if others:
        raise EstimlabError(
            "LocalExpectation follows its forks by torch.vmap, so a network's carry must be a tensor, or a tuple, list "
            f"or dict of tensors, but it holds an object of type {type(others[0]).__name__}. Carry tensors alone, or "
            "use el.Reinforce(), el.ARM() or el.DisARM()."
        )
    return carry
