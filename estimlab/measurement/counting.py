"""Layer passes of one draw, counted: what ``Estimator.cost`` declares is compared with what happens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from estimlab.estimators.base import Cost, Estimator
from estimlab.model.base import Site, StochasticNetwork
from estimlab.model.problem import Problem
from estimlab.randomness import TorchNoise


class _Counting(StochasticNetwork):
    """A network that counts the evaluations of its pre-activations and outputs, and their backward passes."""

    def __init__(self, network: StochasticNetwork):
        super().__init__()
        self.network = network
        self.forward_passes = self.backward_passes = 0

    def sites(self, inputs: Tensor | None) -> tuple[Site, ...]:
        return self.network.sites(inputs)

    def initial(self, inputs: Tensor | None) -> Any:
        return self.network.initial(inputs)

    def preactivation(self, k: int, carry: Any) -> tuple[Tensor, Any]:
        a, carry = self.network.preactivation(k, carry)
        return self._count(a), carry

    def advance(self, k: int, carry: Any, state: Tensor) -> Any:
        return self.network.advance(k, carry, state)

    def output(self, carry: Any) -> Tensor:
        return self._count(self.network.output(carry))

    def _count(self, result: Tensor) -> Tensor:
        self.forward_passes += 1
        if result.requires_grad and torch.is_grad_enabled():
            result = result.view_as(result)  # a node of its own, so that the hook fires once per pass
            result.register_hook(self._went_back)
        return result

    def _went_back(self, gradient: Tensor) -> None:
        self.backward_passes += 1


def count_passes(problem: Problem, estimator: Estimator, seed: int = 0) -> Cost:
    """Forward and backward layer passes of one draw, with torch's generator seeded apart from the global one."""
    network = _Counting(problem.network)
    counted = Problem(network, problem.objective, problem.inputs, problem.targets, problem.expected)
    network.forward_passes = 0
    noise = TorchNoise(torch.Generator(problem.device).manual_seed(seed))
    value = estimator.surrogate(counted, noise).mean()
    torch.autograd.grad(value, list(network.parameters()), allow_unused=True)
    return Cost(network.forward_passes, network.backward_passes)
