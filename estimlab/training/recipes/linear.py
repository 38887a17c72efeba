"""What the recipes of fully connected layers share."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from estimlab.model.laws import Logistic, NoiseLaw
from estimlab.model.network import StochasticNetwork
from estimlab.training.recipes.layers import linear_chain
from estimlab.training.recipes.recipe import Recipe


@dataclass(frozen=True)
class LinearRecipe(Recipe):
    """Fully connected layers of -1/+1 units on flattened images; no batch norm, so that every estimator can train it.

    Attributes:
        widths: units per layer.
        law: noise of the units.
        gain: standard deviation of the first pre-activations.

    >>> from estimlab.training.recipes import find_recipe
    >>> network = find_recipe("digits")(widths=(20, 10)).network(torch.Size([1, 8, 8]))
    >>> [site.size for site in network.sites(torch.zeros(1, 1, 8, 8))]
    [20, 10]
    """

    widths: tuple[int, ...] = (100, 100)
    law: NoiseLaw = Logistic()
    gain: float = 2.0

    def network(self, shape: torch.Size) -> StochasticNetwork:
        """Linear stages, -1/+1 units."""
        return linear_chain(shape.numel(), self.widths, self.law, self.gain)
