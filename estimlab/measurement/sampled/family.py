"""Estimators that differ in their local factors alone: one pass forward serves them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from estimlab.estimators.base import Estimator, HardForward, drawn_bit
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Noise


def shares_states(estimator: Estimator) -> bool:
    """Whether an estimator is hard-forward with nothing of its own but the factor."""
    kind = type(estimator)
    methods = ("activate", "surrogate", "_uniforms")
    return isinstance(estimator, HardForward) and all(
        getattr(kind, name) is getattr(HardForward, name) for name in methods
    )


class Family:
    """One estimator, or several that share states: their surrogates have the same value, and one gradient each."""

    def __init__(self, estimators: Sequence[Estimator]):
        self.estimators = estimators
        self.turn = [0]  # whose factors the backward pass multiplies by

    def surrogate(self, problem: Problem, noise: Noise) -> Tensor:
        """The objective of one pass."""
        if len(self.estimators) == 1:
            return self.estimators[0].surrogate(problem, noise)
        channels = max(getattr(e, "extra_channels", 0) for e in self.estimators)

        def states(k: int, a: Tensor, carry: Any) -> Tensor:
            units = problem.sites[k].units
            p = units.law.cdf(a.detach())
            uniform = noise.uniform(k, 0, p)
            extra = [noise.uniform(k, j, p) for j in range(1, 1 + channels)]
            bit = drawn_bit(uniform, p)
            factors = []
            for estimator in self.estimators:
                assert isinstance(estimator, HardForward)
                reads = torch.stack(extra[: estimator.extra_channels]) if estimator.extra_channels else uniform
                factors.append(units.gap * estimator.derivative(a.detach(), bit, reads, units.law))
            return _Choice.apply(a, units.state(bit), self.turn, *factors)

        return problem.run(states)

    def gradients(self, value: Tensor, outputs: Sequence[Tensor]) -> list[list[Tensor]]:
        """Per estimator, the gradients of its surrogate by intermediate results."""
        result = []
        for number in range(len(self.estimators)):
            self.turn[0] = number
            last = number + 1 == len(self.estimators)
            found = torch.autograd.grad(value, outputs, allow_unused=True, retain_graph=not last)
            result.append([torch.zeros_like(o) if g is None else g for g, o in zip(found, outputs, strict=True)])
        return result


class _Choice(torch.autograd.Function):
    """A state whose derivative is one of several factors, chosen when the backward pass comes by."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, state: Tensor, turn: list[int], *factors: Tensor) -> Tensor:
        ctx.turn = turn
        ctx.save_for_backward(*factors)
        return state.view_as(state)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        factor = ctx.saved_tensors[ctx.turn[0]]
        return torch.where(gradient == 0, 0, gradient * factor), None, None, *(None for _ in ctx.saved_tensors)
