"""Quantities made of an estimator's exact moments: by the layerwise recursion, or by quadrature over the noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Literal, final

import torch
from torch import Tensor

import estimlab as el
from estimlab.cells import AttributedBias, ProblemMaker, build
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.labels import parameters
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.statistics import STATISTICS, AgainstTruth, squared_bias
from estimlab.results.plotting import appearance
from literature.tested import Quantity


@lru_cache(maxsize=256)
def moments(recipe: ProblemMaker, estimator: Estimator) -> Measurement:
    """Exact moments of a hard-forward estimator by recursion, of any other by quadrature."""
    problem, truth = build(recipe)
    if isinstance(estimator, HardForward):
        return el.exact_moments(problem, estimator, truth)
    return el.quadrature_moments(problem, estimator, truth)


@lru_cache(maxsize=256)
def sampled_code(recipe: ProblemMaker, estimator: Estimator) -> Measurement:
    """Moments of the code that draws, by quadrature over its noise, for every estimator."""
    problem, truth = build(recipe)
    return el.quadrature_moments(problem, estimator, truth)


def joined(measurement: Measurement, places: str = "network") -> AgainstTruth:
    """Moments of the coordinates of a layer ("0", "1", ...), of all blocks, or of the ``body``: all but the head's."""
    prefix = {"network": "", "body": "stages."}.get(places, f"stages.{places}.")
    blocks = (measurement.mean, measurement.variance, measurement.reference)
    chosen = [flat({name: part[name] for name in part if name.startswith(prefix)}) for part in blocks]
    return AgainstTruth(*chosen, torch.zeros_like(chosen[0]), math.inf)


def flat(blocks: dict[str, Tensor]) -> Tensor:
    """All blocks as one vector."""
    return torch.cat([block.flatten() for block in blocks.values()])


def label(estimator: Estimator) -> str:
    """As figures name it, with the names of fields that are switched off."""
    off = [field.name for field in fields(estimator) if getattr(estimator, field.name) is False]
    words = [appearance(estimator.name, parameters(estimator))["label"], *(f"not {name}" for name in off)]
    return ", ".join(words).replace("_", " ")


@dataclass(frozen=True)
class OfProblem(Quantity):
    """A quantity on a problem; base of those below.

    Attributes:
        problem: recipe of the problem.
        estimator: what is measured.
    """

    problem: ProblemMaker
    estimator: Estimator

    @property
    def temperatures(self) -> tuple[float, ...]:
        """That of the estimator, where it has one."""
        tau = getattr(self.estimator, "temperature", None)
        return () if tau is None else (float(tau),)

    @property
    def setting(self) -> dict[str, str | float]:
        """The problem's columns."""
        return self.problem.columns()


@final
@dataclass(frozen=True)
class RelativeBias(OfProblem):
    """Norm of the bias over that of the gradient.

    Attributes:
        layer: "0", "1", ..., "network", or "body".
    """

    layer: str = "network"

    @property
    def name(self) -> str:
        """With the layer."""
        return f"relative bias of {label(self.estimator)}, {_place(self.layer)}"

    def measure(self) -> tuple[float, float]:
        """Exact."""
        return _statistic(moments(self.problem, self.estimator), self.layer, "relative_bias"), 0.0


@final
@dataclass(frozen=True)
class SignedBias(OfProblem):
    """Mean over truth minus one, of one coordinate.

    Attributes:
        coordinate: number of the parameter.
    """

    coordinate: int = 0

    @property
    def name(self) -> str:
        """With its sign."""
        return f"signed relative bias of {label(self.estimator)}"

    def measure(self) -> tuple[float, float]:
        """Exact."""
        m = moments(self.problem, self.estimator)
        return float((flat(m.mean) / flat(m.reference))[self.coordinate]) - 1, 0.0


@final
@dataclass(frozen=True)
class Variance(OfProblem):
    """Variance of one draw, summed over coordinates."""

    @property
    def name(self) -> str:
        """Of one draw."""
        return f"variance of {label(self.estimator)}"

    def measure(self) -> tuple[float, float]:
        """Exact."""
        return float(flat(moments(self.problem, self.estimator).variance).sum()), 0.0


@final
@dataclass(frozen=True)
class Distance(OfProblem):
    """Distance of two means, or of a bias from minus another, over the other's norm; by the code that draws.

    Attributes:
        other: the estimator compared with.
        opposite: compare biases, one of them with the opposite sign.
    """

    other: Estimator
    opposite: bool = False

    @property
    def name(self) -> str:
        """What is compared."""
        kind = "bias plus that" if self.opposite else "mean minus that"
        return f"{kind} of {label(self.other)}, relative: {label(self.estimator)}"

    def measure(self) -> tuple[float, float]:
        """By quadrature."""
        ours, theirs = (sampled_code(self.problem, e) for e in (self.estimator, self.other))
        if self.opposite:
            return float((flat(ours.bias) + flat(theirs.bias)).norm() / flat(theirs.bias).norm()), 0.0
        return float((flat(ours.mean) - flat(theirs.mean)).norm() / flat(theirs.mean).norm()), 0.0


@final
@dataclass(frozen=True)
class Ratio(OfProblem):
    """Value of a quantity over its value elsewhere: on another problem, or of another estimator.

    Attributes:
        of: ``variance``, ``relative_bias`` or ``bias``, its norm.
        other: the estimator in the denominator.
        elsewhere: the problem in the denominator.
        layer: "0", "1", ..., "network", or "body", the layers below the head together.
    """

    of: Literal["variance", "relative_bias", "bias"]
    other: Estimator
    elsewhere: ProblemMaker
    layer: str = "network"

    @property
    def temperatures(self) -> tuple[float, ...]:
        """Those of both."""
        both = (getattr(one, "temperature", None) for one in (self.estimator, self.other))
        return tuple(float(tau) for tau in both if tau is not None)

    @property
    def name(self) -> str:
        """Over what, and in which layer."""
        what, ours, theirs = self.of.replace("_", " "), label(self.estimator), label(self.other)
        where = "" if self.elsewhere == self.problem else f" on {self.elsewhere.columns()['problem']} itself"
        return f"{what} of {ours} over that of {theirs}{where}, {_place(self.layer)}"

    def measure(self) -> tuple[float, float]:
        """Exact."""
        pairs = ((self.problem, self.estimator), (self.elsewhere, self.other))
        ours, theirs = (_statistic(moments(*pair), self.layer, self.of) for pair in pairs)
        return ours / theirs, 0.0


@final
@dataclass(frozen=True)
class OwnShare(OfProblem):
    """Signed share of a layer's bias that the layer causes itself, by linearising all that lies above it at once.

    Attributes:
        layer: number of the layer.
    """

    layer: int

    @property
    def name(self) -> str:
        """With the layer."""
        return f"share of the bias of {label(self.estimator)} by linearising what reads it, {_place(str(self.layer))}"

    def measure(self) -> tuple[float, float]:
        """Exact."""
        wanted = (str(self.layer), str(self.layer), "bias_share")
        rows = AttributedBias(self.problem, self.estimator).run()
        (value,) = (r["value"] for r in rows if (r["layer"], r["source"], r["statistic"]) == wanted)
        return float(value), 0.0


def _statistic(measurement: Measurement, layer: str, name: str) -> float:
    moments = joined(measurement, layer)
    return float(squared_bias(moments).sqrt() if name == "bias" else STATISTICS[name](moments))


def _place(layer: str) -> str:
    return {"network": "network", "body": "without the head"}.get(layer, f"layer {layer}")
