"""Draws of an estimator as gradients: one surrogate, mapped over its noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.model.problem import Problem
from estimlab.randomness import Key, Noise, RecordingNoise, Request


class _Draw(nn.Module):
    """The surrogate as a module of the network's parameters, for a functional call."""

    def __init__(self, problem: Problem, estimator: Estimator):
        super().__init__()
        self.network, self.problem, self.estimator = problem.network, problem, estimator

    def forward(self, noise: Noise) -> tuple[Tensor, Tensor]:
        value = self.estimator.surrogate(self.problem, noise)
        return value.mean(), torch.as_tensor(noise.weight)


def record(problem: Problem, estimator: Estimator) -> dict[Key, Request]:
    """What one draw asks of the noise; checks on the way that the surrogate is one finite value per example."""
    noise = RecordingNoise()
    value = estimator.surrogate(problem, noise)
    if not isinstance(value, Tensor) or value.shape != (problem.batch,):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise EstimlabError(
            f"{estimator!r}: surrogate() returned {shape} for {problem.batch} example(s): it must return one value per "
            f"example, a tensor of shape ({problem.batch},); do not average inside."
        )
    if not bool(torch.isfinite(value).all()):
        raise EstimlabError(f"{estimator!r}: surrogate() is NaN or infinite at the median of its noise.")
    return noise.requests


def gradients(
    problem: Problem,
    estimator: Estimator,
    source: Callable[[Mapping[Key, Tensor]], Noise],
    tables: Mapping[Key, Tensor],
) -> tuple[dict[str, Tensor], Tensor]:
    """Gradient of every draw, (draws, \\*block) per block, and the weight of each draw.

    Args:
        problem: what the draws are of.
        estimator: whose surrogate is differentiated.
        source: makes the noise of one draw from its tables.
        tables: what differs between draws, (draws, ...) per key.
    """
    draw = _Draw(problem, estimator)
    parameters = {f"network.{name}": p.detach() for name, p in problem.network.named_parameters()}

    def surrogate(parameters: dict[str, Tensor], tables: Mapping[Key, Tensor]) -> tuple[Tensor, Tensor]:
        return functional_call(draw, parameters, (source(tables),))

    per_draw = torch.vmap(grad(surrogate, has_aux=True), in_dims=(None, 0), randomness="error")
    try:
        blocks, weights = per_draw(parameters, dict(tables))
    except RuntimeError as error:
        raise EstimlabError(
            f"{estimator!r} cannot be mapped over draws: {error}. A surrogate is written for one draw and in tensor "
            "operations: torch.where instead of `if`, no .item(), no in-place writes, no torch.rand (ask `noise`)."
        ) from error
    return {name.removeprefix("network."): block for name, block in blocks.items()}, weights


def elements_per_draw(problem: Problem, requests: Mapping[Key, Request]) -> int:
    """Numbers that one draw keeps in memory: its gradient, and several arrays of the size of its noise."""
    noise = sum(torch.Size(request.shape).numel() for request in requests.values())
    return sum(p.numel() for p in problem.network.parameters()) + 16 * noise
