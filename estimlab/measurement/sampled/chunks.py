"""Moments of one chunk of draws: from the draws' gradients, or from the rows of linear maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.draws import Moments, in_rows
from estimlab.measurement.sampled.rows import LinearMap, Rows

Layers = Mapping[str, Sequence[str]]


def from_draws(draws: Mapping[str, Float[Tensor, "draws ..."]], truth: Mapping[str, Tensor], layers: Layers) -> Moments:
    """From the gradient of every draw, in float64.

    Its sums, per layer: over the draws, the cosine with the true gradient, and the share of its coordinates whose sign
    is right.
    """
    double = {name: block.double() for name, block in draws.items()}
    sums = {}
    for layer, blocks in layers.items():
        flat = torch.cat([in_rows(double[name]) for name in blocks], 1)
        true = torch.cat([truth[name].flatten() for name in blocks])
        known = true != 0
        right = (torch.sign(flat[:, known]) == torch.sign(true[known])).double().mean(1)
        cosine = _cosine(flat @ true, (flat * flat).sum(1), true)
        sums[layer] = {"mean_cosine": cosine.sum(), "sign_correct": right.sum()}
    return Moments.of(double, sums)


def gradients_of_rows(maps: Sequence[LinearMap], deltas: Sequence[Tensor]) -> dict[str, Float[Tensor, "draws ..."]]:
    """The gradient of every draw from the rows: the mean over its examples of ``delta x'``."""
    result: dict[str, Tensor] = {}
    for one, delta in zip(maps, deltas, strict=True):
        result |= one.split((delta.mT @ one.inputs) / delta.shape[1])
    return result


def from_rows(rows: Rows, truth: Mapping[str, Tensor], layers: Layers) -> list[Moments]:
    """Per estimator, from the rows of a problem of one example: matrix products, no gradient per draw.

    Args:
        rows: a block of draws.
        truth: the true gradient.
        layers: names of the blocks of each layer.
    """
    inputs = [_Inputs.of(one, one.join(truth)) for one in rows.maps]
    return [_moments(inputs, deltas, layers) for deltas in rows.deltas]


def _moments(inputs: Sequence[_Inputs], deltas: Sequence[Tensor], layers: Layers) -> Moments:
    count = len(deltas[0])
    mean: dict[str, Tensor] = {}
    square: dict[str, Tensor] = {}
    owners = {name: layer for layer, blocks in layers.items() for name in blocks}
    found: dict[str, list[_Sums]] = {layer: [] for layer in layers}
    for one, delta in zip(inputs, deltas, strict=True):
        sums = one.sums(delta[:, 0].double())  # float32 sums would lose small variances
        mean |= one.map.split(sums.total / count)
        square |= one.map.split((sums.energy - sums.total**2 / count).clamp(min=0))
        found[owners[one.map.names[0]]].append(sums)
    return Moments(count, mean, square, {layer: _per_draw(sums) for layer, sums in found.items()})


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over the draws of one linear map, and per draw its part of ``g . g*`` and of ``|g|^2``.

    Attributes:
        truth: true gradient g*.
        total: of the gradients g.
        energy: of their squares.
        right: number of pairs of a draw and a coordinate whose sign is that of the truth, which is not zero.
        product: ``g . g*`` of each draw.
        square: ``|g|^2`` of each draw.
    """

    truth: Float[Tensor, "o i"]
    total: Float[Tensor, "o i"]
    energy: Float[Tensor, "o i"]
    right: Float[Tensor, ""]
    product: Float[Tensor, " draws"]
    square: Float[Tensor, " draws"]


@dataclass(frozen=True, eq=False)
class _Columns:
    """Inputs of a linear map: those that vary between draws, then those that are fixed."""

    varying: Float[Tensor, "draws v"]
    fixed: Float[Tensor, " c"]

    def summed(self, delta: Float[Tensor, "draws o"]) -> Float[Tensor, "o i"]:
        """``delta x'`` summed over the draws; fixed inputs only multiply sums of delta."""
        varying = delta.T @ self.varying
        fixed = torch.outer(delta.sum(0), self.fixed)
        return torch.cat((varying, fixed), 1)


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What the moments of a linear map take from its inputs x alone.

    The gradient of a draw is ``delta x'``, so its squared norm is a product of two, and its sign that of delta times
    that of x: nothing of the size of draws times parameters is formed.

    Attributes:
        map: the map.
        truth: true gradient.
        values: the inputs.
        squares: their squares.
        signs: their signs.
        along: ``truth x`` of each draw.
        energy: ``|x|^2`` of each draw.
        nonzero: whether no input is zero.
    """

    map: LinearMap
    truth: Float[Tensor, "o i"]
    values: _Columns
    squares: _Columns
    signs: _Columns
    along: Float[Tensor, "draws o"]
    energy: Float[Tensor, " draws"]
    nonzero: bool

    @classmethod
    def of(cls, one: LinearMap, truth: Float[Tensor, "o i"]) -> _Inputs:
        """From what the map read."""
        x, c = one.states[:, 0].double(), one.fixed[0].double()
        values, squares, signs = _Columns(x, c), _Columns(x * x, c * c), _Columns(x.sign(), c.sign())
        width = x.shape[1]
        along = torch.addmm(truth[:, width:] @ c, x, truth[:, :width].T)
        energy = _summed_rows(squares.varying) + squares.fixed.sum()
        nonzero = bool(c.all()) and int(x.count_nonzero()) == x.numel()
        return cls(one, truth, values, squares, signs, along, energy, nonzero)

    def sums(self, delta: Float[Tensor, "draws o"]) -> _Sums:
        """The sums over the draws of an estimator."""
        square = delta * delta
        total = self.values.summed(delta)
        energy = self.squares.summed(square)
        right = self._right(delta.sign())
        product = _summed_rows(self.along * delta)
        return _Sums(self.truth, total, energy, right, product, _summed_rows(square) * self.energy)

    def _right(self, sign: Float[Tensor, "draws o"]) -> Float[Tensor, ""]:
        """How often the sign of a draw is that of the truth, from the signs of delta."""
        agreeing_less_opposed = self.signs.summed(sign) * self.truth.sign()
        agreeing = (self._not_zero(sign) + agreeing_less_opposed) / 2
        return agreeing[self.truth != 0].sum()

    def _not_zero(self, sign: Float[Tensor, "draws o"]) -> Float[Tensor, "o i"] | int:
        """In how many draws a coordinate is not zero: one number where none ever is."""
        if self.nonzero and int(sign.count_nonzero()) == sign.numel():
            return len(sign)
        return _Columns(self.signs.varying.abs(), self.signs.fixed.abs()).summed(sign.abs())


def _summed_rows(matrix: Float[Tensor, "draws o"]) -> Float[Tensor, " draws"]:
    """Row sums: a product with ones is faster than ``sum(1)`` on short rows."""
    return matrix @ matrix.new_ones(matrix.shape[1])


def _per_draw(layer: Sequence[_Sums]) -> dict[str, Tensor]:
    """Sums of cosines and of shares of right signs over the draws, of the maps of a layer together."""
    truth = torch.cat([sums.truth.flatten() for sums in layer])
    product, square = sum(sums.product for sums in layer), sum(sums.square for sums in layer)
    assert isinstance(product, Tensor)
    assert isinstance(square, Tensor)
    right = torch.stack([sums.right for sums in layer]).sum() / max(int((truth != 0).sum()), 1)
    return {"mean_cosine": _cosine(product, square, truth).sum(), "sign_correct": right}


def _cosine(product: Tensor, energy: Tensor, truth: Tensor) -> Tensor:
    """Zero where a draw or the truth is."""
    norms = energy.sqrt() * truth.norm()
    return product / norms.clamp_(min=torch.finfo(norms.dtype).tiny)
