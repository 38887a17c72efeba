"""Random and fixed networks that the tests of the core share: builders, hypothesis strategies, flat views of blocks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import Tensor, nn

import estimlab as el
from estimlab.measurement.mapped import record
from estimlab.randomness.quadrature import QuadratureGrid
from estimlab.results.study import load_study

LAWS = (el.Logistic, el.Gaussian, el.Uniform, el.Triangular)
SMOOTH_LAWS = LAWS[:2]
CODINGS = ((-1.0, 1.0), (0.0, 1.0), (-0.5, 2.0))
F64 = torch.float64

torch.set_num_threads(1)  # tensors are tiny here, and threads that wait for one another take ten times as long


def examples(count: int) -> settings:
    """Hypothesis settings: a fixed sequence of examples, a fresh one under --vary-seed."""
    fixed = "--vary-seed" not in sys.argv
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, derandomize=fixed, database=None, suppress_health_check=slow)


def published_toy(epoch: int) -> el.Problem:
    """The published 2-5-5-5-1 network; skips the test where ESTIMLAB_DATA does not hold it."""
    file = f"psa_toy/epoch{epoch}.npz"
    if not (Path(os.environ.get("ESTIMLAB_DATA", "")) / file).is_file():
        pytest.skip(f"ESTIMLAB_DATA does not hold {file}")
    study = load_study(Path(__file__).parents[1] / "studies" / "published_toy.py")
    return study.module.PublishedToy(epoch).build()


def normal(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    """Normal numbers in float64 that depend on the seed alone."""
    return torch.from_numpy(scale * np.random.default_rng(seed).standard_normal(shape))


def fill(module: nn.Module, seed: int, scale: float = 1.0) -> nn.Module:
    """Give every parameter (and every running statistic of a norm) normal numbers, in float64 and evaluation mode."""
    generator = np.random.default_rng(seed)
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(np.asarray(scale * generator.standard_normal(parameter.shape))))
        for name, buffer in module.named_buffers():
            if buffer.is_floating_point():
                numbers = torch.from_numpy(generator.standard_normal(buffer.shape))
                buffer.copy_(numbers.abs() + 0.5 if name.endswith("var") else numbers)
    return module


def flat(blocks: Mapping[str, Tensor]) -> Tensor:
    """All blocks in one vector."""
    return torch.cat([block.detach().flatten() for block in blocks.values()])


def close(one: Tensor, other: Tensor, tolerance: float = 1e-12) -> bool:
    """Equal up to ``tolerance * max(1, largest entry)``, and free of NaN."""
    size = max(1.0, float(other.abs().max())) if other.numel() else 1.0
    return one.shape == other.shape and bool(((one - other).abs() <= tolerance * size).all())


def blocks_close(one: Mapping[str, Tensor], other: Mapping[str, Tensor], tolerance: float = 1e-12) -> bool:
    """``close`` for every block, and the same names."""
    return list(one) == list(other) and all(close(one[name], other[name], tolerance) for name in one)


def draw_of(problem: el.Problem, estimator: el.Estimator, noise: el.Noise) -> dict[str, Tensor]:
    """One draw as training computes it: the gradient of the mean surrogate by every block."""
    names, parameters = zip(*problem.network.named_parameters(), strict=True)
    surrogate = estimator.surrogate(problem, noise).mean()
    gradients = torch.autograd.grad(surrogate, parameters, allow_unused=True)
    pairs = zip(names, parameters, gradients, strict=True)
    return {name: torch.zeros_like(p) if gradient is None else gradient for name, p, gradient in pairs}


def nodes(problem: el.Problem, estimator: el.Estimator) -> int:
    """Joint nodes of the noise of one example: what quadrature would visit."""
    one = problem.example(0)
    return QuadratureGrid(record(one.with_expected(torch.zeros(1)), estimator)).size


def mlp(
    widths: Sequence[int],
    outputs: int | None,
    seed: int = 0,
    units: Any = None,
    scale: float = 1.0,
    dtype: torch.dtype = F64,
) -> el.Chain:
    """A chain of Linear stages: input width, then layer widths; a Linear head, or none where outputs is None."""
    stages = [nn.Linear(m, n) for m, n in pairwise(widths)]
    head = None if outputs is None else nn.Linear(widths[-1], outputs)
    return fill(el.Chain(stages, head, units), seed, scale).to(dtype)


def logits(values: Sequence[float], law: el.NoiseLaw | None = None, low: float = 0.0, high: float = 1.0) -> el.Chain:
    """One layer of units at given pre-activations, 0/1 coding unless said otherwise; the output is the state."""
    return el.Chain([el.Logits(torch.tensor(values, dtype=F64))], units=el.BinaryUnits(law or el.Logistic(), low, high))


def classification(widths: Sequence[int] = (2, 3, 2), batch: int = 5, seed: int = 0, **options: Any) -> el.Problem:
    """Cross-entropy over three classes, targets repeated: a small deep problem for tests that need just one."""
    dtype = options.get("dtype", F64)
    inputs = normal(seed + 1, batch, widths[0]).to(dtype)
    return el.Problem(mlp(widths, 3, seed, **options), el.CrossEntropy(), inputs, torch.arange(batch) % 3)


def sines(output: Tensor, target: Tensor | None) -> Tensor:
    """An objective of a user: neither a polynomial nor multilinear, and no target."""
    x = output.flatten(1)
    weights = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
    return torch.sin(x * weights).sum(1) + torch.exp(-x.mean(1))


class Convolution(nn.Sequential):
    """A Conv2d stage with batch norm, on the units below laid out as an image of one row."""

    def __init__(self, width: int, channels: int):
        kernel = min(2, width)
        self.units = channels * (width - kernel + 1)
        image = nn.Unflatten(1, (1, 1, width))
        super().__init__(nn.Flatten(), image, nn.Conv2d(1, channels, (1, kernel)), nn.BatchNorm2d(channels))


@dataclass(frozen=True)
class Layer:
    """A stage and its units, by name: nothing of torch, as hypothesis draws it and prints it."""

    kind: str
    width: int
    law: str
    scale: float
    coding: tuple[float, float]

    def stage(self, below: int) -> tuple[nn.Module, int]:
        """The stage, and how many units it has."""
        match self.kind:
            case "logits":
                return el.Logits(self.width), self.width
            case "convolution":
                stage = Convolution(below, 2 if 2 * (below - 1) <= self.width and below > 1 else 1)
                return stage, stage.units
            case "tanh":
                return nn.Sequential(nn.Flatten(), nn.Linear(below, 2), nn.Tanh(), nn.Linear(2, self.width)), self.width
            case _:
                return nn.Linear(below, self.width), self.width

    def units(self) -> el.BinaryUnits:
        """Law and coding."""
        return el.BinaryUnits(getattr(el, self.law)(self.scale), *self.coding)


@dataclass(frozen=True)
class Recipe:
    """A random problem; ``build`` makes it. (Objects of the package are not made while hypothesis draws.)"""

    layers: tuple[Layer, ...]
    objective: str
    head: str
    batch: int
    inputs: int
    seed: int

    def build(self) -> el.Problem:
        """The problem: weights, data and the objective's numbers depend on the seed alone."""
        stages, below = [], self.inputs
        for k, layer in enumerate(self.layers):
            stage, width = layer.stage(below)
            after_image = k > 0 and self.layers[k - 1].kind == "convolution" and layer.kind == "linear"
            stages.append(nn.Sequential(nn.Flatten(), stage) if after_image else stage)
            below = width
        no_input = self.layers[0].kind == "logits" and self.batch == 1
        objective, outputs, targets = self._objective(below)
        head = None if outputs is None else nn.Sequential(nn.Flatten(), *self._head(below, outputs))
        network = fill(el.Chain(stages, head, [layer.units() for layer in self.layers]), self.seed, scale=0.8)
        inputs = None if no_input else normal(self.seed + 1, self.batch, self.inputs)
        return el.Problem(network, objective, inputs, targets)

    def _head(self, below: int, outputs: int) -> list[nn.Module]:
        if self.head == "tanh":
            return [nn.Linear(below, 2), nn.Tanh(), nn.Linear(2, outputs)]
        return [nn.Linear(below, outputs)]

    def _objective(self, width: int) -> tuple[Any, int | None, Tensor | None]:
        """Objective, number of outputs of the head (None: the identity), targets, of which some repeat."""
        numbers = np.random.default_rng(self.seed)
        outputs = None if self.head == "identity" else 2
        n = outputs or width
        match self.objective:
            case "cross_entropy":
                return el.CrossEntropy(), 3, torch.from_numpy(numbers.integers(0, 3, self.batch))
            case "logistic":
                return el.LogisticLoss(), 1, torch.from_numpy(2 * numbers.integers(0, 2, self.batch) - 1)
            case "multilinear":
                subsets = [tuple(map(int, np.flatnonzero(numbers.random(n) < 0.6))) for _ in range(3)]
                return el.Multilinear(tuple((float(numbers.normal()), s) for s in subsets)), outputs, None
            case "polynomial":
                return el.Polynomial(float(numbers.choice([1.5, 2, 3]))), outputs, None
            case "callable":
                return sines, outputs, None
        matrix = tuple(tuple(map(float, row)) for row in numbers.normal(size=(n, n)))
        linear = tuple(map(float, numbers.normal(size=n)))
        objective = el.Quadratic(*((None, None), (matrix, None), (matrix, linear))[numbers.integers(0, 3)])
        if self.objective == "quadratic" or outputs is None:
            return objective, outputs, None
        distinct = torch.from_numpy(numbers.normal(size=(2, n)))
        return objective, outputs, distinct[torch.from_numpy(numbers.integers(0, 2, self.batch))]


OBJECTIVES = (
    *("cross_entropy", "logistic", "quadratic", "quadratic_with_targets", "multilinear", "polynomial", "callable"),
)


@st.composite
def recipes(
    draw: Any,
    max_depth: int = 4,
    max_width: int = 4,
    max_units: int = 9,
    max_batch: int = 4,
    laws: Sequence[type[el.NoiseLaw]] = LAWS,
    kinds: Sequence[str] = ("linear", "linear", "tanh", "convolution"),
) -> Recipe:
    """Random chains: depth, widths, laws, scales, codings, stages, objectives and targets vary."""
    depth, layers, left = draw(st.integers(1, max_depth)), [], max_units
    for k in range(depth):
        layer = Layer(
            kind=draw(st.sampled_from((*kinds, "logits") if k == 0 else kinds)),
            width=draw(st.integers(1, min(max_width, left - (depth - 1 - k)))),
            law=draw(st.sampled_from(laws)).__name__,
            scale=draw(st.sampled_from([0.4, 1.0, 2.3])),
            coding=draw(st.sampled_from(CODINGS)),
        )
        layers.append(layer)
        left -= layer.width
    return Recipe(
        layers=tuple(layers),
        objective=draw(st.sampled_from(OBJECTIVES)),
        head=draw(st.sampled_from(["identity", "linear", "tanh"])),
        batch=draw(st.integers(1, max_batch)),
        inputs=draw(st.integers(1, 3)),
        seed=draw(st.integers(0, 2**31 - 1)),
    )
