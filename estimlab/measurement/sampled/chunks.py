"""Moments of one chunk of draws: from the draws' gradients, or from the rows of linear maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.draws import Moments, in_rows
from estimlab.measurement.sampled.rows import LinearMap

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


def from_rows(
    maps: Sequence[LinearMap], gradients: Sequence[Sequence[Tensor]], truth: Mapping[str, Tensor], layers: Layers
) -> list[Moments]:
    """Per estimator, from the rows of a problem of one example: matrix products, no gradient per draw.

    Args:
        maps: the linear maps and what they read, which all estimators share.
        gradients: per estimator and map, the gradients by the map's outputs.
        truth: the true gradient.
        layers: names of the blocks of each layer.
    """
    inputs = [_Inputs.of(one, one.join(truth)) for one in maps]
    return [_moments(inputs, deltas, layers) for deltas in gradients]


def _moments(inputs: Sequence[_Inputs], deltas: Sequence[Tensor], layers: Layers) -> Moments:
    count = len(deltas[0])
    mean: dict[str, Tensor] = {}
    square: dict[str, Tensor] = {}
    owners = {name: layer for layer, blocks in layers.items() for name in blocks}
    found: dict[str, list[_Rows]] = {layer: [] for layer in layers}
    for one, delta in zip(inputs, deltas, strict=True):
        rows = one.rows(delta[:, 0].double())  # float32 sums would lose small variances
        mean |= one.map.split(rows.total / count)
        square |= one.map.split((rows.energy - rows.total**2 / count).clamp(min=0))
        found[owners[one.map.names[0]]].append(rows)
    return Moments(count, mean, square, {layer: _per_draw(rows) for layer, rows in found.items()})


@dataclass(frozen=True, eq=False)
class _Rows:
    """Sums over the draws of one linear map, (o, i), and per draw its part of ``g . g*`` and of ``|g|^2``."""

    truth: Float[Tensor, "o i"]
    total: Float[Tensor, "o i"]
    energy: Float[Tensor, "o i"]
    right: Tensor
    product: Float[Tensor, " draws"]
    square: Float[Tensor, " draws"]


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What the moments of a linear map take from its inputs x alone.

    The gradient of a draw is ``delta x'``, so its squared norm is a product of two, and its sign that of delta times
    that of x: nothing of the size of draws times parameters is formed. Inputs that are the same in every draw only
    multiply sums of delta.

    Attributes:
        map: the map.
        truth: true gradient.
        moments: the inputs that vary and those that are fixed; their squares; their signs.
        along: ``truth x`` of each draw.
        energy: ``|x|^2`` of each draw.
        nonzero: whether no varying input is zero.
    """

    map: LinearMap
    truth: Float[Tensor, "o i"]
    moments: list[tuple[Float[Tensor, "draws v"], Float[Tensor, " c"]]]
    along: Float[Tensor, "draws o"]
    energy: Float[Tensor, " draws"]
    nonzero: bool

    @classmethod
    def of(cls, one: LinearMap, truth: Float[Tensor, "o i"]) -> _Inputs:
        """From what the map read."""
        x, c = one.states[:, 0].double(), one.fixed[0].double()
        moments = [(x, c), (x * x, c * c), (x.sign(), c.sign())]
        width = x.shape[1]
        along = torch.addmm(truth[:, width:] @ c, x, truth[:, :width].T)
        # a product with ones sums short rows faster than sum(1)
        energy = moments[1][0] @ x.new_ones(width) + moments[1][1].sum()
        return cls(one, truth, moments, along, energy, int(x.count_nonzero()) == x.numel())

    def rows(self, delta: Float[Tensor, "draws o"]) -> _Rows:
        """The sums over the draws of an estimator."""
        square, sign, ones = delta * delta, delta.sign(), delta.new_ones(delta.shape[1])
        powers = zip((delta, square, sign), self.moments, strict=True)
        total, energy, agree = (torch.cat((d.T @ x, torch.outer(d.sum(0), c)), 1) for d, (x, c) in powers)
        count: Tensor | int = len(delta)
        if not (self.nonzero and bool(self.map.fixed.all()) and int(delta.count_nonzero()) == delta.numel()):
            d, (x, c) = sign.abs(), (part.abs() for part in self.moments[2])
            count = torch.cat((d.T @ x, torch.outer(d.sum(0), c)), 1)
        right = ((count + agree * self.truth.sign()) / 2)[self.truth != 0].sum()
        return _Rows(self.truth, total, energy, right, (self.along * delta) @ ones, (square @ ones) * self.energy)


def _per_draw(layer: Sequence[_Rows]) -> dict[str, Tensor]:
    truth = torch.cat([rows.truth.flatten() for rows in layer])
    product, square = sum(rows.product for rows in layer), sum(rows.square for rows in layer)
    assert isinstance(product, Tensor)
    assert isinstance(square, Tensor)
    right = torch.stack([rows.right for rows in layer]).sum() / max(int((truth != 0).sum()), 1)
    return {"mean_cosine": _cosine(product, square, truth).sum(), "sign_correct": right}


def _cosine(product: Tensor, energy: Tensor, truth: Tensor) -> Tensor:
    """Zero where a draw or the truth is."""
    norms = energy.sqrt() * truth.norm()
    return product / norms.clamp_(min=torch.finfo(norms.dtype).tiny)
