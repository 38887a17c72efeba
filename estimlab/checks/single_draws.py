"""Single draws as training makes them, and the differences that checks look for."""

from __future__ import annotations

import sys
import traceback

import torch
from torch import Tensor

from estimlab.checks.report import Refuted
from estimlab.estimators.base import Estimator
from estimlab.measurement.mapped import gradients, record
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Noise, TableNoise, TorchNoise
from estimlab.randomness.streams import RandomStream

Blocks = dict[str, Tensor]
SHOW_DRAW = """\
noise = el.TorchNoise(torch.Generator().manual_seed(0))
value = estimator.surrogate(problem, noise)
parameters = dict(problem.network.named_parameters())
gradient = torch.autograd.grad(value.mean(), list(parameters.values()), allow_unused=True)
print("value", value, *zip(parameters, gradient), sep="\\n")"""


def noise_of(seed: int) -> TorchNoise:
    """Noise that is a function of the seed."""
    return TorchNoise(torch.Generator().manual_seed(seed))


def draw(problem: Problem, estimator: Estimator, noise: Noise) -> Blocks:
    """One draw, by backpropagation: the gradient of the mean surrogate by every block."""
    names, parameters = zip(*problem.network.named_parameters(), strict=True)
    value = estimator.surrogate(problem, noise)
    if not isinstance(value, Tensor):
        raise Refuted(f"surrogate() returned {type(value).__name__}; it must return one value per example, a tensor")
    if not value.requires_grad:
        raise Refuted("the surrogate does not depend on the network's parameters: something detaches them")
    found = torch.autograd.grad(value.mean(), parameters, allow_unused=True)
    pairs = zip(names, parameters, found, strict=True)
    return {name: torch.zeros_like(p) if g is None else g for name, p, g in pairs}


def tables_of(problem: Problem, estimator: Estimator, count: int, seed: int) -> dict[tuple[int, int], Tensor]:
    """Noise of a number of draws."""
    like = torch.empty(0, dtype=problem.dtype)
    return RandomStream(seed).tables(record(problem, estimator), 0, count, like)


def mapped(problem: Problem, estimator: Estimator, tables: dict[tuple[int, int], Tensor]) -> Blocks:
    """Draws mapped over their noise, as a measurement makes them."""
    return gradients(problem, estimator, TableNoise, tables)[0]


def equal(one: Blocks, other: Blocks) -> bool:
    """Whether all blocks are the same numbers."""
    return all(torch.allclose(one[name], other[name], rtol=0, atol=0, equal_nan=True) for name in one)


def close(one: Blocks, other: Blocks, tolerance: float) -> bool:
    """Whether all blocks agree to a tolerance relative to their size, at least 1."""
    return all(
        float((one[name] - other[name]).abs().max()) <= tolerance * max(1.0, float(other[name].abs().max()))
        for name in one
    )


def crash(error: Exception, estimator: Estimator) -> str:
    """What went wrong, and the line of the estimator's own file where it did."""
    text = f"{type(error).__name__}: {error}"
    own = getattr(sys.modules.get(type(estimator).__module__), "__file__", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    return f"{text} (line {frames[-1].lineno}: {frames[-1].line})" if frames else text
