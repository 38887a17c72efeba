"""Draws of an estimator as gradients: one surrogate, mapped over its noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from estimlab.draws import per_draw_gradients
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Key, Noise, RecordingNoise, Request

NOTHING: Key = (0, 1 << 30)  # a uniform that nobody asks for: what draws without noise are mapped over


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
    return noise.requests or {NOTHING: Request((1,), 0, 0)}


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

    if not estimator.mappable:
        return _one_by_one(problem, estimator, source, tables)

    def surrogate(tables: Mapping[Key, Tensor]) -> tuple[Tensor, Tensor]:
        noise = source(tables)
        value = estimator.surrogate(problem, noise)
        return value.mean(), torch.as_tensor(noise.weight)

    try:
        return per_draw_gradients(problem.network, surrogate, tables)
    except RuntimeError as error:
        raise EstimlabError(
            f"{estimator!r} cannot be mapped over draws: {error}. A surrogate is written for one draw and in tensor "
            "operations: torch.where instead of `if`, no .item(), no in-place writes, no torch.rand (ask `noise`)."
        ) from error


def _one_by_one(
    problem: Problem,
    estimator: Estimator,
    source: Callable[[Mapping[Key, Tensor]], Noise],
    tables: Mapping[Key, Tensor],
) -> tuple[dict[str, Tensor], Tensor]:
    parameters = dict(problem.network.named_parameters())
    draws, weights = [], []
    for number in range(len(next(iter(tables.values())))):
        noise = source({key: table[number] for key, table in tables.items()})
        value = estimator.surrogate(problem, noise).mean()
        draws.append(torch.autograd.grad(value, list(parameters.values()), allow_unused=True, materialize_grads=True))
        weights.append(torch.as_tensor(noise.weight))
    blocks = zip(*draws, strict=True)
    return {name: torch.stack(block) for name, block in zip(parameters, blocks, strict=True)}, torch.stack(weights)


def elements_per_draw(problem: Problem, requests: Mapping[Key, Request]) -> int:
    """Numbers that one draw keeps in memory: its gradient, and several arrays of the size of its noise."""
    noise = sum(torch.Size(request.shape).numel() for request in requests.values())
    return sum(p.numel() for p in problem.network.parameters()) + 16 * noise
