"""Means and covariances over the states of a layer, to all digits: where units are saturated and means are large."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.measurement.exact.layers import ChainLayers
from estimlab.model.local_map import LocalMap
from estimlab.references.contraction import row_blocks

LEAST_SHARE = 1e-4  # of a variance in the second moment: below, their difference has lost more than four digits
GRAM_ELEMENTS = 1 << 17  # of centred columns that are in memory at a time: they stay in the cache


def loses_digits(variance: Tensor, second_moment: Tensor) -> bool:
    """Whether a variance is so small beside the second moment that their difference has lost digits somewhere."""
    return bool((variance < LEAST_SHARE * second_moment).any())


def summed_variance(weights: Float[Tensor, "examples rows"], columns: Float[Tensor, "rows p"]) -> Float[Tensor, " p"]:
    """The variance of each column under every row of weights (a distribution), summed over the examples.

    Centred at the likeliest row, of weight w: ``E[u^2] - (E u)^2 >= w E[u^2]``, as u is zero there, so the difference
    loses next to nothing however small the other weights are.
    """
    total, likeliest = torch.zeros_like(columns[0]), weights.argmax(1)
    for row in likeliest.unique():
        group, centred = weights[likeliest == row], columns - columns[row]
        mean = group @ centred
        total += group.sum(0) @ (centred * centred) - (mean * mean).sum(0)
    return total


@dataclass(frozen=True, eq=False)
class LayerBackward:
    """The backward pass of a layer for rows of drives: what its local maps make of a signal from above.

    Attributes:
        layers: the chain.
        k: number of the layer.
        drive: the rows.
        maps: moments of the local maps in each state of a unit.
        full: whether covariances between units are wanted, or those within each alone.
    """

    layers: ChainLayers
    k: int
    drive: Float[Tensor, "rows ..."]
    maps: LocalMap
    full: bool = True

    def signal(
        self, beta: Float[Tensor, "states numbers"], covariance: Float[Tensor, "states numbers numbers"] | None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows d d"]]:
        """Mean and covariance of the drive's cotangent, from a signal of given mean and covariance at each state."""
        outer = beta[:, :, None] * beta[:, None, :]
        delta, product = self._moments(beta, outer if covariance is None else outer + covariance)
        spread = product - self._outer(delta)
        careful = (_diagonal(spread) < LEAST_SHARE * _diagonal(product)).any(1)
        if bool(careful.any()):
            spread[careful] = self._rows(careful)._centred(beta, covariance)
        return delta, spread

    def _moments(
        self, beta: Float[Tensor, "states numbers"], second: Float[Tensor, "states numbers numbers"]
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows d d"]]:
        """``sum_y P(y) B(y)' beta(y)`` and ``sum_y P(y) B(y)' second(y) B(y)``.

        Summed apart over the states of each unit, as their maps differ: what is not negative is then never subtracted.
        """
        columns = [self._first_columns(beta), self._own_columns(second)]
        columns += [self._pair_columns(second)] if self.full else []
        first, own, *pairs = self.layers.expect_all(self.k, columns, self.drive)
        between = self.maps.pull_pairs(pairs[0], *self._pair_numbers()) if pairs else None
        return self.maps.pull(first).flatten(1), self._assembled(self.maps.pull_own(own), between)

    def _first_columns(self, beta: Float[Tensor, "states numbers"]) -> Float[Tensor, "states S n C"]:
        return self.layers.by_state(self.k, self.layers.of_units(self.k, beta))

    def _own_columns(self, second: Float[Tensor, "states numbers numbers"]) -> Float[Tensor, "states S n C C"]:
        """What each unit shows with itself, apart by its state."""
        blocks = self._blocks(second)
        unit = torch.arange(blocks.shape[1], device=blocks.device)
        return self.layers.by_state(self.k, blocks[:, unit, :, unit].transpose(0, 1))

    def _pair_columns(self, second: Float[Tensor, "states numbers numbers"]) -> Float[Tensor, "states S S pairs C C"]:
        """What each pair of units i < j shows, apart by the states of both."""
        i, j = self._pair_numbers()
        members = self.layers.members(self.k)
        both = members[:, None, :, i] * members[None, :, :, j]
        pairs = self._blocks(second)[:, i, :, j].transpose(0, 1)
        return (both[..., None, None] * pairs).movedim(2, 0)

    def _blocks(self, second: Tensor) -> Float[Tensor, "states n C n C"]:
        count = self.layers.layers[self.k].count
        return second.unflatten(2, (count, -1)).unflatten(1, (count, -1))

    def _pair_numbers(self) -> tuple[Tensor, Tensor]:
        count = self.layers.layers[self.k].count
        i, j = torch.triu_indices(count, count, 1, device=self.drive.device)
        return i, j

    def _assembled(
        self, own: Float[Tensor, "rows n d d"], pairs: Float[Tensor, "rows pairs d d"] | None
    ) -> Float[Tensor, "rows numbers numbers"]:
        """The symmetric matrix of these blocks; zero between units where there are no pairs."""
        rows, count, each, _ = own.shape
        matrix = own.new_zeros(rows, count, each, count, each)
        unit = torch.arange(count, device=own.device)
        matrix[:, unit, :, unit] = own.transpose(0, 1)
        if pairs is not None:
            i, j = self._pair_numbers()
            matrix[:, i, :, j] = pairs.transpose(0, 1)
            matrix[:, j, :, i] = pairs.mT.transpose(0, 1)
        return matrix.reshape(rows, count * each, count * each)

    def _outer(self, vectors: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d d"]:
        """``v v'``, or its blocks within units alone."""
        if self.full:
            return vectors[:, :, None] * vectors[:, None, :]
        own = self.layers.of_units(self.k, vectors)
        return self._assembled(own[..., :, None] * own[..., None, :], None)

    def _centred(
        self, beta: Float[Tensor, "states numbers"], covariance: Float[Tensor, "states numbers numbers"] | None
    ) -> Float[Tensor, "rows d d"]:
        """The covariance by the law of total variance over the states, each part a sum without cancellation."""
        own = self._own_columns(beta[:, :, None] * beta[:, None, :])
        (sums,) = self.layers.expect_all(self.k, [own], self.drive)
        spread = self._gram(beta) + self._assembled(self.maps.pull_spread(sums), None)
        return spread if covariance is None else spread + self._moments(beta, covariance)[1]

    def _gram(self, beta: Float[Tensor, "states numbers"]) -> Float[Tensor, "rows d d"]:
        """Covariance over the states of the mean map times beta, centred at each row's likeliest state."""
        digits, own, parts = self.layers.digits(self.k), self.layers.of_units(self.k, beta), []
        for rows in row_blocks(len(self.drive), max(1, GRAM_ELEMENTS // beta.numel())):
            part = self._rows(rows)
            probability = self.layers.probabilities(self.k, part.drive)
            columns = part.maps.columns(digits, own).flatten(2)
            likeliest = probability.argmax(1)
            columns = columns - columns[torch.arange(len(columns), device=columns.device), likeliest][:, None]
            mean = (probability[:, None] @ columns)[:, 0]
            columns = columns * probability.sqrt()[:, :, None]
            parts.append(columns.mT @ columns - mean[:, :, None] * mean[:, None, :])
        return torch.cat(parts)

    def _rows(self, chosen: Tensor | slice) -> LayerBackward:
        return LayerBackward(self.layers, self.k, self.drive[chosen], self.maps.of_rows(chosen), self.full)


def _diagonal(matrices: Float[Tensor, "rows numbers numbers"]) -> Float[Tensor, "rows numbers"]:
    return matrices.diagonal(dim1=1, dim2=2)
