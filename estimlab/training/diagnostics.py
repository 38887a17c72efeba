"""What goes on in each layer while a network learns; and which layer a NaN came from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from estimlab.training.counter_noise import row_keys
from estimlab.training.trainee import Trainee, evaluation_mode, hard

DIAGNOSIS = 1 << 22
"""Number of the step from which the draws of diagnoses are counted."""
SATURATED = 0.01


def diagnose(trainee: Trainee, inputs: Tensor, targets: Tensor, seed: int, epoch: int) -> list[dict[str, Any]]:
    """One row per layer: its gradient from two draws on the same batch, and its units.

    Columns: ``relative_norm``, the layer's share of the gradient's norm (first draw); ``variance``,
    ``|g1 - g2|^2 / 2``, unbiased for the variance of one draw; ``squared_mean``, ``g1 . g2``, unbiased for the squared
    norm of the mean; ``ratio``, the mean of ``(a / scale)^2``; ``saturation``, the share of units whose rarer state
    has a probability below 0.01. The last two are of the units that the layer feeds; the head feeds none.
    """
    training = trainee.training
    trainee.eval()  # running statistics stay as they are
    try:
        first, second = (_gradient(trainee, inputs, targets, seed, DIAGNOSIS + 2 * epoch + k) for k in (0, 1))
    finally:
        trainee.train(training)
    units = _unit_statistics(trainee, inputs, seed, DIAGNOSIS + 2 * epoch)
    total = sum(float((g**2).sum()) for g in first.values()) ** 0.5 or 1.0
    rows = []
    for number, (layer, blocks) in enumerate(trainee.layers().items()):
        one, other = (torch.cat([g[block].flatten() for block in blocks]) for g in (first, second))
        ratio, saturation = units[number] if number < len(units) else (None, None)
        rows.append(
            {
                "epoch": epoch,
                "layer": layer,
                "relative_norm": float(one.norm()) / total,
                "variance": float(((one - other) ** 2).sum()) / 2,
                "squared_mean": float(one @ other),
                "ratio": ratio,
                "saturation": saturation,
            }
        )
    return rows


def _gradient(trainee: Trainee, inputs: Tensor, targets: Tensor, seed: int, step: int) -> dict[str, Tensor]:
    rows = row_keys(seed, step, torch.arange(len(inputs), device=inputs.device))
    names, parameters = zip(*trainee.network.named_parameters(), strict=True)
    value = trainee(inputs, targets, rows).mean()
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    pairs = zip(names, parameters, gradients, strict=True)
    return {name: torch.zeros_like(p) if g is None else g.float() for name, p, g in pairs}


def _unit_statistics(trainee: Trainee, inputs: Tensor, seed: int, step: int) -> list[tuple[float, float]]:
    """Mean of (a / scale)^2 and share of saturated units, site by site, in one drawn pass."""
    states = hard(trainee.sites, row_keys(seed, step, torch.arange(len(inputs), device=inputs.device)))
    found: list[tuple[float, float]] = []

    def watch(k: int, a: Tensor, carry: Any) -> Tensor:
        law = trainee.sites[k].units.law
        rare = law.cdf(-a.float().abs())
        found.append((float(((a.float() / law.scale) ** 2).mean()), float((rare < SATURATED).float().mean())))
        return states(k, a, carry)

    with evaluation_mode(trainee):
        trainee.network.run(inputs, watch, len(trainee.sites))
    return found


def culprit(trainee: Trainee, inputs: Tensor, targets: Tensor, rows: Tensor) -> str:
    """Where the first NaN or infinity of a step is: in words, with the name of the layer."""
    for name, parameter in trainee.network.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return f"the parameter {name!r} holds NaN or infinity"
    layers = list(trainee.layers())
    states, bad = hard(trainee.sites, rows), []

    def watch(k: int, a: Tensor, carry: Any) -> Tensor:
        if not bool(torch.isfinite(a).all()):
            bad.append(layers[k] if k < len(layers) else str(k))
        return states(k, a, carry)

    with evaluation_mode(trainee):
        output = trainee.network.run(inputs, watch, len(trainee.sites))
    if bad:
        return f"the pre-activations of layer {bad[0]!r} are NaN or infinite"
    if not bool(torch.isfinite(output).all()):
        return f"the output of layer {layers[-1]!r} is NaN or infinite"
    loss = trainee(inputs, targets, rows).mean()
    if not bool(torch.isfinite(loss)):
        return "the objective is NaN or infinite, while the output is finite"
    for name, gradient in reversed(_gradient_of(trainee, loss)):  # backward: the head's comes first
        if gradient is not None and not bool(torch.isfinite(gradient).all()):
            return f"the gradient of {name!r} holds NaN or infinity"
    return "nothing of the last step: it happened in an earlier one"


def _gradient_of(trainee: Trainee, loss: Tensor) -> list[tuple[str, Tensor | None]]:
    names, parameters = zip(*trainee.network.named_parameters(), strict=True)
    return list(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))
