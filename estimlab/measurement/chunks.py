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
    for one in captured:
        delta, x = one.delta[:, 0].double(), one.inputs[:, 0].double()  # float32 sums would lose small variances
        average = (delta.T @ x) / count
        energy = (delta * delta).T @ (x * x)
        mean |= one.split(average)
        square |= one.split((energy - count * average**2).clamp(min=0))
    owners = {layer: [one for one in captured if set(one.names) & set(blocks)] for layer, blocks in layers.items()}
    return ChunkMoments(count, mean, square, {layer: _per_draw(found, truth) for layer, found in owners.items()})


def _per_draw(layer: Sequence[Captured], truth: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cosines and signs without a gradient per draw: ``g = delta x'``, so its sign is that of delta times that of x."""
    true = [one.join(truth) for one in layer]
    product, energy, right = (torch.zeros((), dtype=torch.float64, device=true[0].device) for _ in range(3))
    for one, g in zip(layer, true, strict=True):
        delta, x = one.delta[:, 0].double(), one.inputs[:, 0].double()
        product = product + ((x @ g.T) * delta).sum(1)
        energy = energy + (delta * delta).sum(1) * (x * x).sum(1)
        signs = delta.sign(), x.sign()
        agree, nonzero = signs[0].T @ signs[1], (signs[0] ** 2).T @ (signs[1] ** 2)
        right = right + (nonzero + agree * g.sign())[g != 0].sum() / 2
    flat = torch.cat([g.flatten() for g in true])
    known = max(int((flat != 0).sum()), 1)
    return {"mean_cosine": _cosine(product, energy, flat).sum(), "sign_correct": right / known}


def _cosine(product: Tensor, energy: Tensor, truth: Tensor) -> Tensor:
    norms = energy.sqrt() * truth.norm()
    return torch.where(norms > 0, product / torch.where(norms > 0, norms, 1), 0)
