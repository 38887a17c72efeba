"""Path enumeration: the cross-check of everything else, on networks of few units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.arguments import count
from estimlab.declared import checked
from estimlab.errors import EstimlabError
from estimlab.model.fingerprint import Fingerprint
from estimlab.model.problem import Problem
from estimlab.references.reference import Gradient, Reference, exact_gradient


@final
@dataclass(frozen=True)
class PathEnumeration(Reference):
    """The exact gradient as the derivative of ``sum_paths P(path) objective(path)``, by automatic differentiation.

    Works on any ``StochasticNetwork``; costs ``2^(total number of units)`` passes. It shares no code with
    ``LayerwiseEnumeration``, and their agreement is evidence for both. Derivatives are exact up to the rounding of the
    largest value of the objective: of those that are much smaller, as saturated units have, digits are lost.

    Attributes:
        max_units: refuse networks of more binary units than this.
        block_paths: paths that are evaluated at a time.

    >>> import estimlab as el
    >>> truth = el.PathEnumeration().gradient(el.problems.load("quadratic/v1"))
    >>> truth.exact, truth.checks["probability_error"] < 1e-12
    (True, True)
    """

    max_units: int = 22
    block_paths: int = 4096

    def __post_init__(self) -> None:
        count(self.max_units, "PathEnumeration", "max_units", 1)
        count(self.block_paths, "PathEnumeration", "block_paths", 1)

    @checked
    def gradient(self, problem: Problem) -> Gradient:
        """The exact gradient by every block."""
        self._check(problem)
        fingerprint = Fingerprint.of(problem)
        problem = problem.differentiable(torch.float64)
        names, parameters = zip(*problem.network.named_parameters(), strict=True)
        paths = 2 ** sum(site.size for site in problem.sites)
        expected = torch.zeros(problem.batch, dtype=torch.float64, device=problem.device)
        probability = torch.zeros_like(expected)
        total = [torch.zeros_like(p) for p in parameters]
        for start in range(0, paths, self.block_paths):
            index = torch.arange(start, min(start + self.block_paths, paths), device=problem.device)
            weight, value = torch.vmap(lambda i: _follow(problem, i))(index)
            block = (weight * value).sum(0)
            grads = torch.autograd.grad(block.mean(), parameters, allow_unused=True)
            total = [t if g is None else t + g for t, g in zip(total, grads, strict=True)]
            expected, probability = expected + block.detach(), probability + weight.detach().sum(0)
        checks = {"probability_error": float((probability - 1).abs().max())}
        return exact_gradient(self, problem, fingerprint, expected, dict(zip(names, total, strict=True)), checks)

    def _check(self, problem: Problem) -> None:
        Problem.given(problem, "PathEnumeration.gradient", "problem")
        problem.check_finite()
        problem.check_independent()
        units = sum(site.size for site in problem.sites)
        if units > self.max_units:
            raise EstimlabError(
                f"PathEnumeration: {units} binary units have 2^{units} = {2.0**units:.3g} paths; at most max_units = "
                f"{self.max_units} are enumerated. For a chain use el.LayerwiseEnumeration()."
            )


def _follow(problem: Problem, index: Tensor) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Probability and objective of one path for every example; the bits of ``index`` are the states."""
    network, carry = problem.network, problem.network.initial(problem.inputs)
    weight: Tensor | float = 1.0
    for k, site in enumerate(problem.sites):
        a, carry = network.preactivation(k, carry)
        powers = 2 ** torch.arange(site.size, device=index.device)
        bits = torch.div(index, powers, rounding_mode="floor").remainder(2).reshape(site.shape)
        index = torch.div(index, 2**site.size, rounding_mode="floor")
        high = bits.expand(a.shape) == 1
        chosen = site.units.law.cdf(torch.where(high, a, -a))
        weight = weight * (chosen.prod() if site.shared else chosen.reshape(-1, math.prod(site.shape)).prod(1))
        carry = network.advance(k, carry, torch.where(high, site.units.high, site.units.low).to(a.dtype))
    return weight * torch.ones(problem.batch, dtype=torch.float64, device=problem.device), problem.value(
        network.output(carry)
    )
