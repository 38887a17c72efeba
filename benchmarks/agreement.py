"""Do two devices compute the same: every estimator, the noise of training, the exact engine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import estimlab as el
from benchmarks.networks import chain
from estimlab.estimators import catalogue
from estimlab.estimators.base import ActivationEstimator
from estimlab.training.counter_noise import CounterNoise, row_keys, uniforms, words
from estimlab.training.trained_units import TrainedUnits

DEVICES = ("cpu", "cuda")
EXACT, FLOAT64, FLOAT32 = 1e-10, 1e-9, 2e-4
"""Relative tolerances: sums in another order; elementary functions of another library besides."""
DIFFER = 1e-3
"""Largest share of units whose states may differ."""


def agreement(devices: tuple[str, str] = DEVICES) -> list[dict[str, Any]]:
    """One row per comparison: the largest relative difference, and what is allowed."""
    rows = [noise(devices), engine(devices), moments(devices)]
    rows += [draw(cls(), devices) for cls in catalogue()]
    return rows + [units(cls(), devices) for cls in catalogue() if issubclass(cls, ActivationEstimator)]


def noise(devices: tuple[str, str]) -> dict[str, Any]:
    """The uniforms of training: equal bit by bit."""
    one, other = (uniforms(row_keys(1, 2, torch.arange(64, device=d)), words(3), (1000,)).cpu() for d in devices)
    return _row("noise", float((one - other).abs().max()), 0.0)


def engine(devices: tuple[str, str]) -> dict[str, Any]:
    """Layerwise enumeration of a 10-10-10 chain."""
    one, other = (el.LayerwiseEnumeration().gradient(_problem(d)).value for d in devices)
    return _row("LayerwiseEnumeration", _difference(one, other), EXACT)


def moments(devices: tuple[str, str]) -> dict[str, Any]:
    """Exact bias and variance of ZGR."""
    one, other = (el.exact_moments(_problem(d), el.ZGR()).variance for d in devices)
    return _row("exact_moments", _difference(one, other), EXACT)


def draw(estimator: el.Estimator, devices: tuple[str, str]) -> dict[str, Any]:
    """One draw of the gradient in float64, at the same noise."""
    one, other = (_draw(_problem(device, [4, 6, 5]), estimator) for device in devices)
    return _row(f"draw of {estimator.name}", _difference(one, other), FLOAT64)


def units(estimator: el.Estimator, devices: tuple[str, str]) -> dict[str, Any]:
    """States and derivatives of 64 x 500 units in float32, where the states agree."""
    pairs = [_units(estimator, device) for device in devices]
    (state, slope), (other_state, other_slope) = pairs
    same = (state - other_state).abs() < 0.5
    found = float(((slope - other_slope).abs() / (1 + slope.abs()))[same].max())
    row, differ = _row(f"units of {estimator.name}", found, FLOAT32), int((~same).sum())
    # a state differs where the two roundings of F(a) lie on both sides of the uniform
    row["holds"] &= differ <= DIFFER * same.numel()
    return row | {"states_that_differ": differ, "units": same.numel()}


def _problem(device: str, widths: list[int] | None = None) -> el.Problem:
    return chain(widths or [10, 10, 10]).to(device=device)


def _draw(problem: el.Problem, estimator: el.Estimator) -> dict[str, Tensor]:
    rows = row_keys(0, 0, torch.arange(problem.batch, device=problem.device))
    names, parameters = zip(*problem.network.named_parameters(), strict=True)
    value = estimator.surrogate(problem, CounterNoise(rows)).mean()
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for n, p, g in zip(names, parameters, gradients, strict=True)}


def _units(estimator: el.Estimator, device: str) -> tuple[Tensor, Tensor]:
    module: nn.Module = TrainedUnits(estimator, el.BinaryUnits(), 0)
    module.rows = row_keys(0, 0, torch.arange(64, device=device))
    a = torch.linspace(-4, 4, 64 * 500).reshape(64, 500).to(device).requires_grad_()
    state = module(a)
    (slope,) = torch.autograd.grad(state.sum(), a)
    return state.detach().cpu(), slope.cpu()


def _difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    size = max(float(block.abs().max()) for block in one.values()) or 1.0
    return max(float((one[name].cpu() - other[name].cpu()).abs().max()) for name in one) / size


def _row(name: str, found: float, allowed: float) -> dict[str, Any]:
    return {"compared": name, "difference": found, "allowed": allowed, "holds": found <= allowed}
