"""Random problems of every kind that a user may bring, right and wrong in a known way; all of it follows from a seed.

``correct(seed)`` is a problem that must be accepted; ``impure(seed, reason)`` is one that must be refused for that
reason. A problem is given as the arguments of ``el.Problem``, so that a refusal can be caught.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import networks
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

import estimlab as el
from estimlab.errors import Impurity


@dataclass(frozen=True)
class Given:
    """The arguments of ``el.Problem``, and what they are.

    Attributes:
        kinds: names of the stages, the last of the fault where there is one.
    """

    network: el.StochasticNetwork
    objective: Any
    inputs: Tensor | None
    targets: Tensor | None
    kinds: tuple[str, ...]

    def problem(self) -> el.Problem:
        """The problem, or a refusal."""
        return el.Problem(self.network, self.objective, self.inputs, self.targets)


class Residual(nn.Module):
    """``body(x) + x W``."""

    def __init__(self, below: int, width: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(below, 3), nn.Tanh(), nn.Linear(3, width))
        self.skip = nn.Linear(below, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Of flat states."""
        return self.body(x) + self.skip(x)


class Tied(nn.Module):
    """``W tanh(W' W x)``: one weight three times."""

    def __init__(self, below: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, below))

    def forward(self, x: Tensor) -> Tensor:
        """Of flat states."""
        inner = functional.linear(functional.linear(x, self.weight), self.weight.T)
        return functional.linear(torch.tanh(inner), self.weight)


class Then(nn.Module):
    """A linear map, and a function of its input (``before``) or of its result."""

    def __init__(self, below: int, width: int, function: Callable[[Tensor], Tensor], before: bool = False):
        super().__init__()
        self.linear, self.function, self.before = nn.Linear(below, width), function, before

    def forward(self, x: Tensor) -> Tensor:
        """Of flat states."""
        return self.linear(self.function(x)) if self.before else self.function(self.linear(x))


class Counting(nn.Linear):
    """Counts its calls in a buffer and in an attribute; what it computes does not depend on them."""

    def __init__(self, below: int, width: int):
        super().__init__(below, width)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        """Of flat states."""
        self.calls += 1
        self.seen += 1
        return super().forward(x)


def _normed(norm: Callable[..., nn.Module]) -> Callable[[int, int], nn.Module]:
    return lambda below, width: nn.Sequential(nn.Linear(below, width), norm(width))


def _weights(function: Callable[[nn.Module], nn.Module]) -> Callable[[int, int], nn.Module]:
    return lambda below, width: function(nn.Linear(below, width))


CORRECT: dict[str, Callable[[int, int], nn.Module]] = {
    "linear": nn.Linear,
    "layer norm": _normed(nn.LayerNorm),
    "batch norm in evaluation": _normed(nn.BatchNorm1d),
    "dropout in evaluation": lambda m, n: nn.Sequential(nn.Linear(m, n), nn.Dropout(0.5)),
    "convolution": lambda m, n: nn.Sequential(
        nn.Unflatten(1, (1, 1, m)), nn.Conv2d(1, n, (1, m)), nn.BatchNorm2d(n), nn.Flatten()
    ),
    "residual": Residual,
    "tied": Tied,
    "weight norm": _weights(parametrizations.weight_norm),
    "spectral norm": _weights(parametrizations.spectral_norm),
    "in-place after the first": lambda m, n: nn.Sequential(
        nn.Linear(m, 3), nn.ReLU(inplace=True), nn.Linear(3, n), nn.Hardtanh(inplace=True)
    ),
    "counting": Counting,
    "attention": lambda m, n: nn.Sequential(nn.Linear(m, 4), _Attention(4), nn.Linear(4, n)),
}


class _Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attend = nn.MultiheadAttention(2, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        pairs = x.unflatten(1, (-1, 2))
        return self.attend(pairs, pairs, pairs)[0].flatten(1)


class _Drawn(nn.Module):
    def __init__(self, size: float):
        super().__init__()
        self.size = size

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.size * torch.randn_like(weight)


def _drawn(below: int, width: int, size: float) -> nn.Module:
    linear = nn.Linear(below, width)
    parametrize.register_parametrization(linear, "weight", _Drawn(size))
    return linear


def _through_data(x: Tensor) -> Tensor:
    x.data.mul_(0.5)
    return x


def _through_numpy(x: Tensor) -> Tensor:
    x.numpy()[..., :1] = 0.25
    return x


def _assigned(x: Tensor) -> Tensor:
    x[:, 0] = 1
    return x


def _numpy_rarely(x: Tensor) -> Tensor:
    return x + float(np.random.rand() < 1e-9)  # noqa: NPY002 - the fault that is looked for


def _function(function: Callable[[Tensor], Tensor], before: bool = False) -> Callable[[int, int], nn.Module]:
    return lambda below, width: Then(below, width, function, before)


IMPURE: dict[Impurity, dict[str, Callable[[int, int], nn.Module]]] = {
    Impurity.WRITES: {
        "ReLU first": lambda m, n: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(m, n)),
        "Hardtanh through a view": lambda m, n: nn.Sequential(nn.Flatten(), nn.Hardtanh(0, 1, True), nn.Linear(m, n)),
        "Identity, then ELU": lambda m, n: nn.Sequential(nn.Identity(), nn.ELU(inplace=True), nn.Linear(m, n)),
        "mul_": _function(lambda x: x.mul_(0.5), True),
        "assignment": _function(_assigned, True),
        "data": _function(_through_data, True),
        "numpy": _function(_through_numpy, True),
        "squeeze_": _function(lambda x: x.unsqueeze_(1)[:, 0], True),
        "out=": _function(lambda x: torch.sin(x, out=x), True),
    },
    Impurity.DRAWS: {
        "functional dropout": _function(lambda x: functional.dropout(x, 0.5)),
        "functional dropout, rarely": _function(lambda x: functional.dropout(x, 1e-9)),
        "BinaryActivation": lambda m, n: nn.Sequential(nn.Linear(m, n), el.BinaryActivation(el.ZGR())),
        "BinaryActivation, own generator": lambda m, n: nn.Sequential(
            nn.Linear(m, n), el.BinaryActivation(el.ZGR(), generator=torch.Generator())
        ),
        "drawn weight": partial(_drawn, size=1.0),
        "drawn weight, tiny": partial(_drawn, size=1e-12),
        "rarely": _function(lambda x: x + (torch.rand(()) < 1e-9).to(x)),
        "numpy, rarely": _function(_numpy_rarely),
        "gumbel": _function(lambda x: functional.gumbel_softmax(x)),
        "rrelu": _function(lambda x: functional.rrelu(x - 100, training=True)),
    },
    Impurity.COUPLES: {
        "centred": _function(lambda x: x - x.mean(0)),
        "centred, slightly": _function(lambda x: x - 1e-5 * x.mean(0, keepdim=True)),
        "functional batch norm": _function(lambda x: functional.batch_norm(x, None, None, training=True)),
        "softmax over the batch": _function(lambda x: x.softmax(0)),
        "rolled": _function(lambda x: x + x.roll(1, 0)),
        "sorted": _function(lambda x: x.sort(0).values),
        "normalised": _function(lambda x: x / x.norm()),
        "first example": _function(lambda x: x + x[:1]),
        "batch size": _function(lambda x: x * len(x)),
        "group norm over the batch": _function(lambda x: functional.layer_norm(x, x.shape)),
    },
}


def correct(seed: int) -> Given:
    """A problem without fault: depth, stages, laws, scales, codings, precision, objective and data vary."""
    rng = np.random.default_rng(seed)
    wide = int(rng.choice([300, 1000, 3000])) if seed % 6 == 5 else None
    kinds = [str(rng.choice(list(CORRECT))) for _ in range(rng.integers(1, 4))]
    if wide is not None:
        kinds[0] = "linear"
    return _given(rng, kinds, [CORRECT[kind] for kind in kinds], wide, (torch.float64, torch.float32, torch.bfloat16))


def impure(seed: int, reason: Impurity) -> Given:
    """A problem with one stage (or head) at fault, in a random place."""
    rng = np.random.default_rng(seed)
    faults = IMPURE[reason]
    kinds = ["linear"] * int(rng.integers(1, 4))
    kind = list(faults)[seed % len(faults)]
    place = int(rng.integers(0, len(kinds) + 1))  # the last one is the head
    makers: list[Callable[[int, int], nn.Module]] = [nn.Linear] * (len(kinds) + 1)
    makers[place] = faults[kind]
    return replace(_given(rng, kinds, makers, None, (torch.float64, torch.float32), least=2), kinds=(*kinds, kind))


def _given(
    rng: np.random.Generator, kinds: list[str], makers: list[Any], wide: int | None, types: Any, least: int = 1
) -> Given:
    widths = [int(rng.integers(2, 4)) for _ in kinds]
    inputs = wide or int(rng.integers(2, 5))
    batch, outputs = int(rng.integers(least, 4)), 2
    sizes = zip((inputs, *widths), (*widths, outputs), strict=True)
    modules = [make(*size) for make, size in zip((*makers, nn.Linear)[: len(kinds) + 1], sizes, strict=True)]
    dtype = types[int(rng.choice(len(types), p=(0.5, 0.4, 0.1)[: len(types)] if len(types) > 2 else None))]
    scale = 1.5 / np.sqrt(max(4, inputs))
    chain = networks.fill(el.Chain(modules[:-1], modules[-1], _units(rng, widths)), int(rng.integers(1 << 30)), scale)
    objective, targets = _objective(rng, batch, outputs, dtype)
    data = networks.normal(int(rng.integers(1 << 30)), batch, inputs).to(dtype)
    return Given(chain.to(dtype), objective, data, targets, tuple(kinds))


def _units(rng: np.random.Generator, widths: list[int]) -> list[el.BinaryUnits]:
    laws = [networks.LAWS[int(rng.integers(4))](float(rng.choice([0.4, 1.0, 2.3]))) for _ in widths]
    return [el.BinaryUnits(law, *networks.CODINGS[int(rng.integers(3))]) for law in laws]


def _objective(rng: np.random.Generator, batch: int, outputs: int, dtype: torch.dtype) -> tuple[Any, Tensor | None]:
    match int(rng.integers(4)):
        case 0:
            return el.CrossEntropy(), torch.from_numpy(rng.integers(0, outputs, batch))
        case 1:
            return el.Quadratic(), torch.from_numpy(rng.normal(size=(batch, outputs))).to(dtype)
        case 2:
            return el.Polynomial(3.0), None
    return networks.sines, None
