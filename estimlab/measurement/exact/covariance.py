"""Means and covariances over the states of a layer, to all digits: where units are saturated and means are large."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.measurement.exact.layers import ChainLayers
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
class LayerFactors:
    """The local factors of a layer for rows of pre-activations, and what they make of a signal from above.

    Attributes:
        layers: the chain.
        k: number of the layer.
        a: pre-activations.
        mean: of each factor given bit 0 and bit 1.
        square: its second moment.
        full: whether covariances between units are wanted, or variances alone.
    """

    layers: ChainLayers
    k: int
    a: Float[Tensor, "rows units"]
    mean: Float[Tensor, "2 rows units"]
    square: Float[Tensor, "2 rows units"]
    full: bool = True

    def signal(
        self, beta: Float[Tensor, "states units"], covariance: Float[Tensor, "states units units"] | None
    ) -> tuple[Float[Tensor, "rows units"], Float[Tensor, "rows units units"]]:
        """Mean and covariance of the factors times a signal of given mean and covariance at each state."""
        outer = beta[:, :, None] * beta[:, None, :]
        delta, product = self._moments(beta, outer if covariance is None else outer + covariance)
        spread = product - _outer(delta, self.full)
        careful = (_diagonal(spread) < LEAST_SHARE * _diagonal(product)).any(1)
        if bool(careful.any()):
            spread[careful] = self._rows(careful)._centred(beta, covariance)
        return delta, spread

    def _centred(self, beta: Tensor, covariance: Tensor | None) -> Tensor:
        """The covariance by the law of total variance over the states, each part a sum without cancellation."""
        bits, square = self.layers.bits(self.k), beta * beta
        columns = torch.cat(((1 - bits) * square, bits * square), 1)
        low, high = self.layers.expect(self.k, columns, self.a).chunk(2, 1)
        random = (self.square - self.mean * self.mean).clamp(min=0)
        spread = self._gram(beta) + torch.diag_embed(random[0] * low + random[1] * high)
        return spread if covariance is None else spread + self._moments(beta, covariance)[1]

    def _moments(
        self, beta: Float[Tensor, "states units"], second: Float[Tensor, "states units units"]
    ) -> tuple[Float[Tensor, "rows units"], Float[Tensor, "rows units units"]]:
        """``sum_y P(y) J(y) * beta(y)`` and ``sum_y P(y) (J J')(y) * second(y)``.

        Summed apart over the states where a unit is low and those where it is high, as their factors differ: what is
        not negative is then never subtracted.
        """
        bits = self.layers.bits(self.k)
        sides = (1 - bits, bits)
        units = bits.shape[1] if self.full else 0
        i, j = torch.triu_indices(units, units, 1, device=bits.device)
        diagonal, pairs = _diagonal(second), second[:, i, j]
        columns = [side * column for column in (beta, diagonal) for side in sides]
        columns += [one[:, i] * other[:, j] * pairs for one in sides for other in sides]
        sums = self.layers.expect(self.k, torch.cat(columns, 1), self.a).split([c.shape[1] for c in columns], 1)
        delta = self.mean[0] * sums[0] + self.mean[1] * sums[1]
        product = torch.diag_embed(self.square[0] * sums[2] + self.square[1] * sums[3])
        low, high = self.mean
        both = [one[:, i] * other[:, j] for one in (low, high) for other in (low, high)]
        product[:, i, j] = torch.stack(both).mul_(torch.stack(sums[4:])).sum(0)
        product[:, j, i] = product[:, i, j]
        return delta, product

    def _gram(self, beta: Tensor) -> Float[Tensor, "rows units units"]:
        """Covariance over the states of mean factor times beta, centred at each row's likeliest state."""
        bits, parts = self.layers.bits(self.k)[None], []
        for rows in row_blocks(len(self.a), max(1, GRAM_ELEMENTS // beta.numel())):
            probability = self.layers.probabilities(self.k, self.a[rows])
            low, high = self.mean[:, rows, None]
            columns = torch.where(bits > 0, high, low) * beta
            likeliest = probability.argmax(1)
            columns -= columns[torch.arange(len(columns), device=columns.device), likeliest][:, None]
            mean = (probability[:, None] @ columns)[:, 0]
            columns *= probability.sqrt()[:, :, None]
            parts.append(columns.mT @ columns - _outer(mean))
        return torch.cat(parts)

    def _rows(self, chosen: Tensor) -> LayerFactors:
        mean, square = self.mean[:, chosen], self.square[:, chosen]
        return LayerFactors(self.layers, self.k, self.a[chosen], mean, square, self.full)


def _diagonal(matrices: Float[Tensor, "rows units units"]) -> Float[Tensor, "rows units"]:
    return matrices.diagonal(dim1=1, dim2=2)


def _outer(vectors: Float[Tensor, "rows units"], full: bool = True) -> Float[Tensor, "rows units units"]:
    """``v v'``, or its diagonal alone."""
    return vectors[:, :, None] * vectors[:, None, :] if full else torch.diag_embed(vectors * vectors)
