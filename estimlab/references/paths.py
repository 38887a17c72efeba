"""Path enumeration: the cross-check of everything else, on networks of few units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from estimlab.arguments import count
from estimlab.declared import checked
from estimlab.errors import EstimlabError
from estimlab.model.fingerprint import Fingerprint
from estimlab.model.problem import Problem
from estimlab.progress import track
from estimlab.references.reference import Gradient, Reference, exact_gradient

SHOWN_BLOCKS = 64  # from so many blocks of paths on, a second or more, a user sees the progress


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
        parameters = dict(problem.network.named_parameters())
        value = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
        expected = torch.zeros(problem.batch, dtype=torch.float64, device=problem.device)
        total_probability = torch.zeros_like(expected)
        for numbers in self._blocks(problem):
            probability, objective = torch.vmap(partial(_follow, problem))(numbers)
            part = (probability * objective).sum(0)
            derivatives = torch.autograd.grad(part.mean(), list(parameters.values()), materialize_grads=True)
            for name, derivative in zip(parameters, derivatives, strict=True):
                value[name] += derivative
            expected += part.detach()
            total_probability += probability.detach().sum(0)
        checks = {"probability_error": float((total_probability - 1).abs().max())}
        return exact_gradient(self, problem, fingerprint, expected, value, checks)

    def _blocks(self, problem: Problem) -> Iterator[Int[Tensor, " paths"]]:
        """The numbers of all paths, ``block_paths`` at a time."""
        paths = 2 ** sum(site.size for site in problem.sites)
        starts = range(0, paths, self.block_paths)
        for start in track(starts, "paths", len(starts) if len(starts) >= SHOWN_BLOCKS else 0):
            stop = min(start + self.block_paths, paths)
            yield torch.arange(start, stop, device=problem.device)

    def _check(self, problem: Problem) -> None:
        Problem.given(problem, "PathEnumeration.gradient", "problem")
        problem.check_finite()
        problem.check_independent()
        units = sum(site.size for site in problem.sites)
        if units > self.max_units:
            raise EstimlabError(
                f"PathEnumeration: {units} binary units have 2^{units} paths; at most max_units = {self.max_units} are "
                "enumerated. For a chain use el.LayerwiseEnumeration()."
            )


def _follow(problem: Problem, number: Int[Tensor, ""]) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """P(path) and objective(path) of every example, on the path of this number: its binary digits are the states."""
    sizes = [site.size for site in problem.sites]
    places = torch.arange(sum(sizes), device=number.device)
    digits = (number >> places) & 1
    highs = (digits == 1).split(sizes)
    probability = torch.ones(problem.batch, dtype=torch.float64, device=problem.device)

    def states(k: int, a: Tensor, carry: Any) -> Tensor:
        nonlocal probability
        site = problem.sites[k]
        high = highs[k].reshape(site.shape).expand(a.shape)
        chances = site.units.law.cdf(torch.where(high, a, -a))
        joint = chances.prod() if site.shared else chances.reshape(-1, site.size).prod(1)
        probability = probability * joint
        return torch.where(high, site.units.high, site.units.low).to(a.dtype)

    objective = problem.run(states)
    return probability, objective
