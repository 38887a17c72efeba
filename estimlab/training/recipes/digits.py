"""scikit-learn's digits: two layers of binary units, seconds on a CPU, any estimator."""

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
class Digits(Recipe):
    """Fully connected layers on 8x8 images of ten digits; no batch norm, so that every estimator can train it.

    Attributes:
        widths: units per layer.
        law: noise of the units.
        gain: standard deviation of the first pre-activations.
    """

    name: ClassVar[str] = "digits"
    summary: ClassVar[str] = "scikit-learn's 8x8 digits, 64-100-100-10, any estimator; seconds on a CPU"
    data: ClassVar[str] = "digits"

    epochs: int = 30
    batch_size: int = 50
    learning_rate: float = 5e-3
    widths: tuple[int, ...] = (100, 100)
    law: NoiseLaw = Logistic()
    gain: float = 2.0

    def network(self, shape: torch.Size) -> StochasticNetwork:
        """Linear stages, -1/+1 units."""
        return linear_chain(shape.numel(), self.widths, self.law, self.gain)
