"""Toys of known mean and variance, and many measurements of them at once, by the code that makes one."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from estimlab.estimators.gumbel_softmax import STGumbelSoftmax
from estimlab.measurement.groups import Groups
from estimlab.measurement.intervals.bias import LARGEST_SHARE, MeanError, largest_share
from estimlab.measurement.sampled.chunks import from_draws
from estimlab.measurement.statistics import AgainstTruth
from estimlab.model.laws import Logistic

GROUPS = 64


@dataclass(frozen=True)
class Toy(abc.ABC):
    """Independent draws of a vector whose mean and variance are known."""

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """In the table."""

    @abc.abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance per coordinate."""

    @abc.abstractmethod
    def draws(self, generator: np.random.Generator, *shape: int) -> Tensor:
        """Draws of the given shape, with coordinates as one more dimension."""


@final
@dataclass(frozen=True)
class Light(Toy):
    """Three independent coordinates of mean 1.

    Attributes:
        law: of the noise, all of variance one: two points of probability 0.3 and 0.7.
        deviations: standard deviations of the coordinates.
    """

    law: Literal["normal", "uniform", "two points"]
    deviations: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def title(self) -> str:
        """Law, and deviations where they differ."""
        return self.law if len(set(self.deviations)) == 1 else f"{self.law} {self.deviations}"

    def moments(self) -> tuple[Tensor, Tensor]:
        """One, and the squared deviations."""
        deviations = torch.tensor(self.deviations, dtype=torch.float64)
        return torch.ones_like(deviations), deviations**2

    def draws(self, generator: np.random.Generator, *shape: int) -> Tensor:
        """Mean plus noise."""
        size = (*shape, len(self.deviations))
        match self.law:
            case "normal":
                noise: np.ndarray = generator.standard_normal(size)
            case "uniform":
                noise = math.sqrt(12) * (generator.random(size) - 0.5)
            case _:
                noise = ((generator.random(size) < 0.3) - 0.3) / math.sqrt(0.21)
        return 1 + torch.from_numpy(noise * np.array(self.deviations))


@final
@dataclass(frozen=True)
class Relaxed(Toy):
    """Factor of straight-through Gumbel-Softmax, one unit of pre-activation 0.7: heavy tails as tau goes to 0."""

    temperature: float

    @property
    def title(self) -> str:
        """Name and temperature."""
        return f"Gumbel-Softmax, tau = {self.temperature:g}"

    def moments(self) -> tuple[Tensor, Tensor]:
        """By quadrature."""
        a, law = torch.tensor([0.7], dtype=torch.float64), Logistic()
        mean, second = STGumbelSoftmax(self.temperature).derivative_moments(a, law)
        high = law.cdf(a)
        first, square = ((1 - high) * part[0] + high * part[1] for part in (mean, second))
        return first, square - first**2

    def draws(self, generator: np.random.Generator, *shape: int) -> Tensor:
        """The factor at uniforms."""
        uniform = torch.from_numpy(generator.random((*shape, 1))).clamp(1e-16, 1 - 1e-16)
        a = torch.full_like(uniform, 0.7)
        return STGumbelSoftmax(self.temperature).derivative(a, a, uniform, Logistic())


@dataclass(frozen=True, eq=False)
class Runs:
    """Many measurements at once, by the code that makes one: all replicates are coordinates of the same groups."""

    groups: Groups
    reference: Tensor
    replications: int

    @classmethod
    def of(cls, blocks: list[Tensor], reference: Tensor) -> Runs:
        """From the draws of each group, (draws, replications, coordinates)."""
        like = {"toy": blocks[0][0].flatten()}
        groups = Groups.empty(GROUPS, like, ())
        for number, block in enumerate(blocks):
            groups.add(number, from_draws({"toy": block.flatten(1)}, like, {}))
        return cls(groups, reference, blocks[0].shape[1])

    def split(self, tensor: Tensor) -> Tensor:
        """Coordinates apart from replicates."""
        return tensor.reshape(*tensor.shape[:-1], self.replications, -1)

    @property
    def whole(self) -> AgainstTruth:
        """Of all draws."""
        mean, square = self.groups.total("toy")
        count = float(self.groups.count.sum())
        zero = torch.zeros_like(self.reference)
        return AgainstTruth(self.split(mean), self.split(square / (count - 1)), self.reference, zero, count)

    @property
    def left_out(self) -> AgainstTruth:
        """With one group left out at a time."""
        mean, spread = map(self.split, self.groups.leave_one_out("toy"))
        left = (self.groups.count.sum() - self.groups.count)[:, None]
        return AgainstTruth(mean, spread, self.reference, torch.zeros_like(self.reference), left)

    def mean_error(self) -> MeanError:
        """For the squared bias."""
        whole = self.whole
        difference, noise = whole.mean - self.reference, whole.variance / whole.draws
        return MeanError.of(self.split(self.groups.mean["toy"]), difference, noise, whole.reference_variance)

    def heavy(self) -> Tensor:
        """Replicates that are flagged."""
        return largest_share(self.split(self.groups.square["toy"]).sum(-1)) > LARGEST_SHARE


def simulate(toy: Toy, bias: Tensor, draws: int, replications: int, seed: int) -> Runs:
    """Replicates of a measurement whose reference lies a bias away from the mean."""
    generator = np.random.Generator(np.random.Philox(seed))
    blocks = [toy.draws(generator, draws // GROUPS, replications) for _ in range(GROUPS)]
    return Runs.of(blocks, toy.moments()[0] - bias)
