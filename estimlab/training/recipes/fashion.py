"""Fashion-MNIST: two layers of binary units, minutes on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from estimlab.model.base import StochasticNetwork
from estimlab.model.units import Logistic, NoiseLaw
from estimlab.training.recipes.base import Recipe
from estimlab.training.recipes.layers import linear_chain


@final
@dataclass(frozen=True)
class Fashion(Recipe):
    """A chain of fully connected layers on 28x28 images of ten kinds of clothes.

    Attributes:
        widths: units per layer.
        law: noise of the units.
        gain: standard deviation of the first pre-activations.
    """

    name: ClassVar[str] = "fashion"
    summary: ClassVar[str] = "Fashion-MNIST, 784-256-256-10, any estimator; minutes on a CPU"
    data: ClassVar[str] = "fashion_mnist"

    epochs: int = 8
    batch_size: int = 100
    learning_rate: float = 2e-3
    widths: tuple[int, ...] = (256, 256)
    law: NoiseLaw = Logistic()
    gain: float = 2.0

    def network(self, shape: torch.Size) -> StochasticNetwork:
        """Linear stages, -1/+1 units."""
        return linear_chain(shape.numel(), self.widths, self.law, self.gain)
