"""Layer passes of one draw, counted: what ``Estimator.cost`` declares is compared with what happens."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from estimlab.estimators.base import Cost, Estimator
from estimlab.model.network import StochasticNetwork
from estimlab.model.problem import Problem
from estimlab.randomness.noise import TorchNoise


@dataclass(frozen=True)
class Work:
    """Work of one draw per example. A pass over several forks of an example counts once for each of them.

    Attributes:
        objective: evaluations of the objective.
        forward: evaluations of one layer (pre-activations or head), forward.
        backward: the same, backward.

    >>> import estimlab as el
    >>> count_work(el.problems.load("quadratic/v1"), el.ARM())
    Work(objective=2.0, forward=3.0, backward=1.0)
    """

    objective: float
    forward: float
    backward: float


class _Rows(torch.autograd.Function):
    """The same tensor; tells how many rows it has, those that ``vmap`` hides included."""

    @staticmethod
    def forward(result: Tensor, tell: Callable[[int], None]) -> Tensor:
        tell(len(result))
        return result.view_as(result)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple, result: Tensor, tell: Callable[[int], None]) -> tuple[Tensor, int]:
        result = result.movedim(in_dims[0], 0)
        tell(info.batch_size * result.shape[1])
        return result.view_as(result), 0


class _Passes:
    """Counts the evaluations of a network's pre-activations and outputs, and their backward passes."""

    def __init__(self) -> None:
        self.forward = self.backward = 0
        self.objective_rows = self.forward_rows = self.backward_rows = 0

    def watched(self, network: StochasticNetwork) -> StochasticNetwork:
        """The same network, of the same class and with the same parameters, whose passes are counted."""
        watched = copy.copy(network)
        vars(watched)["preactivation"] = partial(self._preactivation, network)
        vars(watched)["output"] = partial(self._output, network)
        return watched

    def _preactivation(self, network: StochasticNetwork, k: int, carry: Any) -> tuple[Tensor, Any]:
        a, carry = network.preactivation(k, carry)
        return self._count(a) if network.begins_layer(k) else a, carry

    def _output(self, network: StochasticNetwork, carry: Any) -> Tensor:
        return _Rows.apply(self._count(network.output(carry)), self._objective)

    def _count(self, result: Tensor) -> Tensor:
        self.forward += 1
        result = _Rows.apply(result, self._forward)
        if result.requires_grad and torch.is_grad_enabled():
            result = result.view_as(result)  # a node of its own, so that the hook fires once per pass
            result.register_hook(self._went_back)
        return result

    def _forward(self, rows: int) -> None:
        self.forward_rows += rows

    def _objective(self, rows: int) -> None:
        self.objective_rows += rows

    def _went_back(self, gradient: Tensor) -> None:
        self.backward += 1
        self.backward_rows += len(gradient)


def count_passes(problem: Problem, estimator: Estimator, seed: int = 0) -> Cost:
    """Forward and backward layer passes of one draw, with torch's generator seeded apart from the global one."""
    passes = _counted(problem, estimator, seed)
    return Cost(passes.forward, passes.backward)


def count_work(problem: Problem, estimator: Estimator, seed: int = 0) -> Work:
    """Work of one draw per example: unlike ``count_passes`` it counts the forks that one pass evaluates together."""
    passes = _counted(problem, estimator, seed)
    rows = (passes.objective_rows, passes.forward_rows, passes.backward_rows)
    return Work(*(count / problem.batch for count in rows))


def _counted(problem: Problem, estimator: Estimator, seed: int) -> _Passes:
    """The passes of one draw and its gradient."""
    passes = _Passes()
    counted = problem.with_network(passes.watched(problem.network))
    noise = TorchNoise(torch.Generator(problem.device).manual_seed(seed))
    value = estimator.surrogate(counted, noise).mean()
    torch.autograd.grad(value, list(problem.network.parameters()), allow_unused=True)
    return passes
