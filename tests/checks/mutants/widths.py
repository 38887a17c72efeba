"""More units than were thought of, or units in maps."""

from dataclasses import dataclass

import torch

from estimlab.estimators.rollout import sum_units
from mutants.bases import DEGREE, Scored, Written, weighted_score


def numbered(layer):
    """0, 1, ... over the units of a layer."""
    return torch.arange(layer.site.size).reshape(layer.site.shape)


@dataclass(frozen=True)
class FourUnits(Scored):
    """The first four units of every layer."""

    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: (numbered(layer) < 4).to(layer.a.dtype))


@dataclass(frozen=True)
class MeanOverUnits(Scored):
    """A mean over units for their sum."""

    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: 1 / layer.site.size)


@dataclass(frozen=True)
class MeanOverMaps(Scored):
    """A sum over the last dimension, a mean over all before."""

    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: layer.site.shape[-1] / layer.site.size)


@dataclass(frozen=True)
class Transposed(Scored):
    """Rows and columns of a map taken for each other."""

    def score(self, problem, layers):
        terms = [layer.score.transpose(-1, -2) if layer.a.ndim > 2 else layer.score for layer in layers]
        return sum(sum_units(term * layer.a, layer.site.shared) for term, layer in zip(terms, layers, strict=True))


@dataclass(frozen=True)
class RootOfWidth(Written):
    """A factor over the root of the number of units."""

    def factor(self, k, a, units, problem):
        return super().factor(k, a, units, problem) / a[0].numel() ** 0.5


@dataclass(frozen=True)
class Shared(Written):
    """One factor for all units of a wide layer: their mean."""

    def factor(self, k, a, units, problem):
        found = super().factor(k, a, units, problem)
        return found.mean(-1, keepdim=True).expand_as(found) if a.shape[-1] > 4 else found


@dataclass(frozen=True)
class Chunked(Written):
    """In blocks of four units, the last of which is dropped."""

    def factor(self, k, a, units, problem):
        found = super().factor(k, a, units, problem)
        whole = a.shape[-1] // 4 * 4 or a.shape[-1]
        return torch.cat((found[..., :whole], 0 * found[..., whole:]), -1)


@dataclass(frozen=True)
class FirstRow(Written):
    """The first row of a map."""

    def factor(self, k, a, units, problem):
        found = super().factor(k, a, units, problem)
        return found if a.ndim == 2 else torch.cat((found[:, :1], 0 * found[:, 1:]), 1)


CAUSED = {
    "four units at most": (FourUnits(), DEGREE + "1", "6 units|5 units", "width"),
    "a mean over units": (MeanOverUnits(), DEGREE + "1", "units", "width"),
    "a mean over the rows of a map": (MeanOverMaps(), DEGREE + "1", "units in maps", "width"),
    "a map transposed": (Transposed(), DEGREE + "1", "units in maps", "width"),
    "a root of the width": (RootOfWidth(), DEGREE + "1", "units", "width"),
    "one factor for a wide layer": (Shared(), DEGREE + "1", "6 units|5 units", "width"),
    "blocks of four units": (Chunked(), DEGREE + "1", "6 units|5 units", "width"),
    "the first row of a map": (FirstRow(), DEGREE + "1", "units in maps", "width"),
}
