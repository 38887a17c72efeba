"""Moments of one chunk of draws: from the draws' gradients, or from the rows of linear maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.measurement.rows import Captured

Layers = Mapping[str, Sequence[str]]


@dataclass(frozen=True, eq=False)
class ChunkMoments:
    """Moments of a number of draws, in float64.

    Attributes:
        count: number of draws.
        mean: mean per block.
        square: sum of squared deviations from it.
        per_draw: per layer, sums over the draws of the cosine with the true gradient, and of the share of its
            coordinates whose sign is right.
    """

    count: int
    mean: dict[str, Tensor]
    square: dict[str, Tensor]
    per_draw: dict[str, dict[str, Tensor]]


def from_draws(
    draws: Mapping[str, Float[Tensor, "draws ..."]], truth: Mapping[str, Tensor], layers: Layers
) -> ChunkMoments:
    """From the gradient of every draw."""
    double = {name: block.double() for name, block in draws.items()}
    mean = {name: block.mean(0) for name, block in double.items()}
    square = {name: ((block - mean[name]) ** 2).sum(0) for name, block in double.items()}
    per_draw = {}
    for layer, blocks in layers.items():
        flat = torch.cat([double[name].flatten(1) for name in blocks], 1)
        true = torch.cat([truth[name].flatten() for name in blocks])
        known = true != 0
        right = (torch.sign(flat[:, known]) == torch.sign(true[known])).double().mean(1)
        cosine = _cosine(flat @ true, (flat * flat).sum(1), true)
        per_draw[layer] = {"mean_cosine": cosine.sum(), "sign_correct": right.sum()}
    return ChunkMoments(len(next(iter(double.values()))), mean, square, per_draw)


def per_draw_gradients(captured: Sequence[Captured]) -> dict[str, Float[Tensor, "draws ..."]]:
    """The gradient of every draw from the rows: the mean over its examples of ``delta x'``."""
    result: dict[str, Tensor] = {}
    for one in captured:
        result |= one.split((one.delta.mT @ one.inputs) / one.delta.shape[1])
    return result


def from_rows(captured: Sequence[Captured], truth: Mapping[str, Tensor], layers: Layers) -> ChunkMoments:
    """From the rows of a problem of one example: two matrix products per linear map, no gradient per draw."""
    count = captured[0].delta.shape[0]
    mean: dict[str, Tensor] = {}
    square: dict[str, Tensor] = {}
    owners = {name: layer for layer, blocks in layers.items() for name in blocks}
    found: dict[str, list[_Rows]] = {layer: [] for layer in layers}
    for one in captured:
        rows = _Rows.of(one, one.join(truth))
        mean |= one.split(rows.total / count)
        square |= one.split((rows.energy - rows.total**2 / count).clamp(min=0))
        found[owners[one.names[0]]].append(rows)
    return ChunkMoments(count, mean, square, {layer: _per_draw(rows) for layer, rows in found.items()})


@dataclass(frozen=True, eq=False)
class _Rows:
    """Sums over the draws of one linear map, (o, i), and per draw its part of ``g . g*`` and of ``|g|^2``.

    The gradient of a draw is ``delta x'``, so its squared norm is a product of two, and its sign that of delta times
    that of x: nothing of the size of draws times parameters is formed.
    """

    truth: Float[Tensor, "o i"]
    total: Float[Tensor, "o i"]
    energy: Float[Tensor, "o i"]
    right: Tensor
    product: Float[Tensor, " draws"]
    square: Float[Tensor, " draws"]

    @classmethod
    def of(cls, one: Captured, truth: Float[Tensor, "o i"]) -> _Rows:
        # float32 sums would lose small variances; a product with ones sums short rows faster than sum(1)
        delta, x = one.delta[:, 0].double(), one.inputs[:, 0].double()
        ones_o, ones_i = delta.new_ones(delta.shape[1]), x.new_ones(x.shape[1])
        delta2, x2 = delta * delta, x * x
        product = ((x @ truth.T) * delta) @ ones_o
        right = _right_signs(delta, x, truth)
        return cls(truth, delta.T @ x, delta2.T @ x2, right, product, (delta2 @ ones_o) * (x2 @ ones_i))


def _right_signs(delta: Tensor, x: Tensor, truth: Tensor) -> Tensor:
    """Number of draws and coordinates whose sign is that of a true coordinate that is not zero."""
    signs = delta.sign(), x.sign()
    agree = (signs[0].T @ signs[1]) * truth.sign()
    nonzero: Tensor | int = len(delta)
    if any(int(t.count_nonzero()) < t.numel() for t in (delta, x)):
        nonzero = signs[0].abs().T @ signs[1].abs()
    return ((nonzero + agree) / 2)[truth != 0].sum()


def _per_draw(layer: Sequence[_Rows]) -> dict[str, Tensor]:
    truth = torch.cat([rows.truth.flatten() for rows in layer])
    product, square = sum(rows.product for rows in layer), sum(rows.square for rows in layer)
    assert isinstance(product, Tensor)
    assert isinstance(square, Tensor)
    right = torch.stack([rows.right for rows in layer]).sum() / max(int((truth != 0).sum()), 1)
    return {"mean_cosine": _cosine(product, square, truth).sum(), "sign_correct": right}


def _cosine(product: Tensor, energy: Tensor, truth: Tensor) -> Tensor:
    norms = energy.sqrt() * truth.norm()
    return torch.where(norms > 0, product / torch.where(norms > 0, norms, 1), 0)
