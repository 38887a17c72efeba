"""What a backward pass makes of a unit: the map from the cotangent of what it shows to the cotangent of its drive."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class LocalMap:
    """The first two moments of a layer's local maps, given the states of its units.

    A unit shows C numbers and is driven by D; in state s its map B, of shape (C, D), takes the cotangent ``beta`` of
    what it shows to ``B' beta``, that of its drive. Units are independent of each other given the drive.

    Attributes:
        mean: ``E[B | s]``.
        spread: the covariance of ``B`` given s; zero where the map is a function of the state.
    """

    mean: Float[Tensor, "S rows n C D"]
    spread: Float[Tensor, "S rows n C D C D"]

    def of_rows(self, rows: slice | Tensor) -> LocalMap:
        """The same on some of the rows."""
        return type(self)(self.mean[:, rows], self.spread[:, rows])

    def pull(self, sums: Float[Tensor, "rows S n C"]) -> Float[Tensor, "rows n D"]:
        """``E[B' beta]``, from ``sums = E[beta; s]``."""
        return torch.einsum("srncd,rsnc->rnd", self.mean, sums)

    def pull_own(self, sums: Float[Tensor, "rows S n C C"]) -> Float[Tensor, "rows n D D"]:
        """``E[B' beta beta' B]`` of each unit, from ``sums = E[beta beta'; s]``."""
        through_means = torch.einsum("srncd,rsnce,srnef->rndf", self.mean, sums, self.mean)
        return through_means + self.pull_spread(sums)

    def pull_spread(self, sums: Float[Tensor, "rows S n C C"]) -> Float[Tensor, "rows n D D"]:
        """The part of ``pull_own`` that maps have which are random given the state."""
        return torch.einsum("srncdef,rsnce->rndf", self.spread, sums)

    def pull_pairs(
        self, sums: Float[Tensor, "rows S S pairs C C"], i: Int[Tensor, " pairs"], j: Int[Tensor, " pairs"]
    ) -> Float[Tensor, "rows pairs D D"]:
        """``E[B_i' beta_i beta_j' B_j]`` of pairs of units, from ``sums = E[beta_i beta_j'; s_i, s_j]``."""
        return torch.einsum("srpcd,rstpce,trpef->rpdf", self.mean[:, :, i], sums, self.mean[:, :, j])

    def columns(
        self, digits: Int[Tensor, "states n"], beta: Float[Tensor, "states n C"]
    ) -> Float[Tensor, "rows states n D"]:
        """``E[B | s]' beta`` at each joint state, row by row."""
        units = torch.arange(digits.shape[1], device=digits.device)
        mean = self.mean.permute(1, 2, 0, 3, 4)[:, units, digits]
        return torch.einsum("ryncd,ync->rynd", mean, beta)


@dataclass(frozen=True, eq=False)
class ScalarMap(LocalMap):
    """``LocalMap`` where a unit shows one number and is driven by one: products instead of sums over C and D."""

    @classmethod
    def of_factors(cls, mean: Float[Tensor, "S rows n"], square: Float[Tensor, "S rows n"]) -> ScalarMap:
        """From the mean and the second moment of the factor in each state."""
        spread = (square - mean * mean).clamp(min=0)
        return cls(mean[..., None, None], spread[..., None, None, None, None])

    @property
    def _mean(self) -> Float[Tensor, "rows S n"]:
        return self.mean[..., 0, 0].transpose(0, 1)

    @property
    def _square(self) -> Float[Tensor, "rows S n"]:
        return self._mean**2 + self.spread[..., 0, 0, 0, 0].transpose(0, 1)

    def pull(self, sums: Tensor) -> Tensor:
        """Factor times slope, summed over the states."""
        return (self._mean * sums[..., 0]).sum(1)[..., None]

    def pull_own(self, sums: Tensor) -> Tensor:
        """Squared factor times squared slope, summed over the states: nothing is subtracted."""
        return (self._square * sums[..., 0, 0]).sum(1)[..., None, None]

    def pull_spread(self, sums: Tensor) -> Tensor:
        """Variance of the factor times squared slope."""
        return (self.spread[..., 0, 0, 0, 0].transpose(0, 1) * sums[..., 0, 0]).sum(1)[..., None, None]

    def pull_pairs(self, sums: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Both factors times the product of the slopes, summed over the states of both."""
        one, other = self._mean[:, :, None, i], self._mean[:, None, :, j]
        return ((one * other) * sums[..., 0, 0]).sum((1, 2))[..., None, None]

    def columns(self, digits: Tensor, beta: Tensor) -> Tensor:
        """Factor times slope at each joint state."""
        low, high = self._mean[:, None].unbind(2)
        return (torch.where(digits > 0, high, low) * beta[..., 0])[..., None]
