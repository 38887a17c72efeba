"""Objectives and problems in which the literature's formulas are stated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import estimlab as el
from estimlab.cells import FrozenProblem, ProblemMaker
from estimlab.cells.makers import Bits, CosineChain
from estimlab.model.objectives import Objective


@final
@dataclass(frozen=True)
class Powers(Objective):
    """``sum_k c_k x^k`` of the first unit.

    Attributes:
        coefficients: c_0, c_1, ...
    """

    coefficients: tuple[float, ...]

    def __call__(self, output: Float[Tensor, "batch units"], target: Tensor | None) -> Float[Tensor, " batch"]:
        """Value per example."""
        x = output[:, 0]
        return sum((c * x**k for k, c in enumerate(self.coefficients)), start=torch.zeros_like(x))


@final
@dataclass(frozen=True)
class SquareTimes(Objective):
    """``x_1^2 x_2``: the square is a constant on the corners -1 and +1."""

    def __call__(self, output: Float[Tensor, "batch 2"], target: Tensor | None) -> Float[Tensor, " batch"]:
        """Value per example."""
        return output[:, 0] ** 2 * output[:, 1]


@final
@dataclass(frozen=True)
class Headless(ProblemMaker):
    """A chain without its head: the objective reads the states of the last layer.

    Attributes:
        chain: whose stages and points are used.
        objective: of the last states.
        name: what the table calls the objective.
    """

    chain: CosineChain
    objective: el.Multilinear
    name: str

    def build(self) -> el.Problem:
        """The chain's network up to its last states."""
        problem = self.chain.build()
        network = problem.network
        assert isinstance(network, el.Chain)
        return el.Problem(el.Chain(list(network.stages), units=list(network.units)), self.objective, problem.inputs)

    def columns(self) -> dict[str, str | float]:
        """Of the chain, and the objective."""
        law = type(self.chain.law).__name__.lower()
        return {"problem": f"{self.chain.columns()['problem'].removesuffix('-1')}, {law}, {self.name}"}


@final
@dataclass(frozen=True)
class Shrunk(ProblemMaker):
    """A frozen problem whose stages' parameters are multiplied: pre-activations shrink, the head stays.

    Attributes:
        frozen: the problem.
        factor: what all pre-activations are multiplied by, given the states below.
    """

    frozen: FrozenProblem
    factor: float = 0.5

    def build(self) -> el.Problem:
        """Load and scale."""
        problem = self.frozen.build()
        with torch.no_grad():
            for name, parameter in problem.network.named_parameters():
                if name.startswith("stages."):
                    parameter.mul_(self.factor)
        return problem

    def columns(self) -> dict[str, str | float]:
        """Name and factor."""
        return {"problem": self.frozen.name, "stage": f"pre-activations x {self.factor:g}"}


def bit(power: int, a: float = 0.7) -> Bits:
    """One unit in 0/1 coding, P(high) = sigma(a), whose power is the objective."""
    names = {1: "b", 2: "b^2", 3: "b^3", 4: "b^4"}
    return Bits(f"{names[power]}, a = {a:g}", Powers((0.0,) * power + (1.0,)), (a,))


def products(units: int, seed: int) -> el.Multilinear:
    """All products of up to ``units`` states, with normal coefficients."""
    coefficients = np.random.default_rng(seed).standard_normal(2**units).tolist()
    subsets = [tuple(i for i in range(units) if number >> i & 1) for number in range(2**units)]
    return el.Multilinear(tuple(zip(coefficients, subsets, strict=True)))


def affine(units: int) -> el.Multilinear:
    """``sum_i (1 + i) x_i``."""
    return el.Multilinear(tuple((1.0 + i, (i,)) for i in range(units)))
