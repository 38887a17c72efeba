"""Statistical gates: where only sampling reaches, and first of all whether it would see anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from estimlab.measurement.measurement import Measurement

FAMILY_ERROR = 1e-3  # probability that a gate rejects a right estimator, over all its coordinates
POWER = 0.999
ROUNDING = 1e-12
MATTERS = 0.02  # a bias of this share of the norm of the true gradient matters


@dataclass(frozen=True, eq=False)
class Gate:
    """z-scores of a family of coordinates and their two-sided p-values.

    Attributes:
        z: distances in standard errors.
        p: probability of a distance at least as large where there is no difference.
    """

    z: Float[Tensor, " tests"]
    p: Float[Tensor, " tests"]

    @property
    def adjusted(self) -> Float[Tensor, " tests"]:
        """p-values that hold for the family (Holm 1979, Scandinavian Journal of Statistics 6)."""
        return holm(self.p)

    @property
    def rejects(self) -> bool:
        """Whether any coordinate is rejected, with the family-wise error ``FAMILY_ERROR``."""
        return bool((self.adjusted < FAMILY_ERROR).any())

    @property
    def worst(self) -> float:
        """The z-score of largest size."""
        return float(self.z[self.z.abs().argmax()]) if len(self.z) else 0.0


def holm(p: Float[Tensor, " tests"]) -> Float[Tensor, " tests"]:
    """``max over the i smallest of (m - i + 1) p_(i)``, at most one, in the order given."""
    order = p.argsort()
    steps = p[order] * torch.arange(len(p), 0, -1, dtype=p.dtype)
    adjusted = steps.cummax(0).values.clamp(max=1)
    return torch.empty_like(p).scatter(0, order, adjusted)


def gate(
    difference: Float[Tensor, "*shape"], stderr: Float[Tensor, "*shape"], freedom: float = math.inf
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """z-scores and two-sided p-values, of gradients of order one: a smaller standard error than rounding is rounding.

    Args:
        difference: from what is expected.
        stderr: its standard error.
        freedom: degrees of freedom of the standard error; infinity: known, or from very many draws.
    """
    z = difference / stderr.clamp(min=ROUNDING)
    law = stats.norm if math.isinf(freedom) else stats.t(freedom)
    tail = np.asarray(law.sf(z.abs().numpy()))
    return z, torch.from_numpy(2 * tail).reshape(z.shape)


def mean_gate(measured: Measurement, expected: Mapping[str, Tensor] | None = None) -> Gate:
    """Every coordinate's mean, and its component along the truth, against what is expected (the true gradient)."""
    target = flat(measured.reference if expected is None else expected)
    difference = flat(measured.mean) - target
    along, along_stderr = _along(measured, difference)
    differences = torch.cat((difference, along[None]))
    stderrs = torch.cat((mean_stderr(measured), along_stderr[None]))
    return Gate(*gate(differences, stderrs))


def restricted(measured: Measurement, prefixes: tuple[str, ...]) -> Measurement:
    """The blocks alone whose names begin so."""
    names = [name for name in measured.mean if name.startswith(prefixes)]

    def chosen(blocks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: blocks[name] for name in names}

    layers = {layer: tuple(name for name in blocks if name in names) for layer, blocks in measured.layers.items()}
    return replace(
        measured,
        mean=chosen(measured.mean),
        variance=chosen(measured.variance),
        reference=chosen(measured.reference),
        reference_stderr=chosen(measured.reference_stderr),
        layers={layer: blocks for layer, blocks in layers.items() if blocks},
    )


def light(measured: Measurement) -> Measurement | None:
    """The layers whose draws are not heavy-tailed: a gate trusts standard errors, which promise too much elsewhere."""
    heavy = measured.heavy_tailed()
    trusted = [blocks for layer, blocks in measured.layers.items() if not heavy[layer]]
    names = tuple(chain.from_iterable(trusted))
    return restricted(measured, names) if names else None


def mean_stderr(measured: Measurement) -> Float[Tensor, " coordinates"]:
    """Standard error of every coordinate's mean, that of the reference included."""
    return (flat(measured.variance) / measured.draws + flat(measured.reference_stderr) ** 2).sqrt()


def _along(measured: Measurement, difference: Tensor) -> tuple[Tensor, Tensor]:
    """Component of the difference along the truth, which a wrong scale moves most, and its standard error."""
    assert measured.groups is not None
    truth = flat(measured.reference)
    direction = truth / truth.norm()
    means = torch.cat([measured.groups.mean[name].flatten(1) for name in measured.mean], 1)
    groups = means @ direction
    of_reference = flat(measured.reference_stderr) ** 2 * direction**2
    of_draws = groups.var() / len(groups)
    return difference @ direction, (of_draws + float(of_reference.sum())).sqrt()


def variance_gate(measured: Measurement, expected: Mapping[str, float]) -> Gate:
    """The variance of every layer, with its jackknife standard error, against what is expected."""
    assert measured.groups is not None
    rows = measured.statistics()
    found = [rows[layer]["variance"] for layer in expected]
    value, stderr = torch.tensor(found, dtype=torch.float64).reshape(-1, 2).unbind(1)
    right = torch.tensor(list(expected.values()), dtype=torch.float64)
    return Gate(*gate(value - right, stderr, len(measured.groups.count) - 1))


def detectable(measured: Measurement) -> float:
    """Power: a bias of this share of the gradient's norm, in whichever coordinate, is rejected with ``POWER``."""
    stderr = mean_stderr(measured)
    seen = bound(len(stderr) + 1) * float(stderr.max())
    return seen / float(flat(measured.reference).norm())


def bound(tests: int) -> float:
    """Standard errors at which one of a number of tests rejects with probability ``POWER``."""
    critical = stats.norm.isf(FAMILY_ERROR / 2 / tests)
    return float(critical + stats.norm.isf(1 - POWER))


def flat(blocks: Mapping[str, Tensor]) -> Float[Tensor, " coordinates"]:
    """All blocks in one vector."""
    return torch.cat([block.detach().flatten() for block in blocks.values()]).double()
