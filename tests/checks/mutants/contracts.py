"""Broken contracts."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch

import estimlab as el
from estimlab.estimators.base import Cost, RelaxedForward
from mutants.bases import Density


@dataclass(frozen=True)
class Overflowing(Density):
    """The score as a quotient: zero by zero where a unit is certain."""

    def derivative(self, a, bit, uniform, law):
        p = torch.exp(law.log_cdf(a))
        return law.density(a) * (p * (1 - p)) / (p * (1 - p))


@dataclass(frozen=True)
class Upwards(RelaxedForward):
    """High where u > 1 - p: the right law, other states than everybody else's."""

    reads_uniform: ClassVar[bool] = False

    def claims(self):
        return el.Claims(exact_degree=1)

    def kinks(self, a, law):
        return [1 - law.cdf(a)]

    def activate(self, a, uniform, units):
        p = units.law.cdf(a)
        bit = (uniform > 1 - p).to(a.dtype)
        return units.state(bit + p - p.detach())


@dataclass(frozen=True)
class Understated(Density):
    def cost(self, depth):
        return Cost(depth, depth + 1)


class Undecorated(Density):
    """A subclass whose new field is none, as @dataclass(frozen=True) is missing."""

    width: float = 2.0


@dataclass(frozen=True)
class Listed(Density):
    """A list as a field: no hash."""

    widths: list = field(default_factory=lambda: [1.0])


@dataclass(frozen=True)
class Differentiating(el.StraightThrough):
    def claims(self):
        return el.Claims(reads_extension=False)


MUTANTS = {
    "zero by zero where certain": (Overflowing(), "finite where units are certain", "40 and -40"),
    "other states than channel 0 decides": (Upwards(), "visits the network's states", "u < F"),
    "a wrong cost": (Understated(), "declared cost = counted cost", "declared .* counted"),
    "not a dataclass": (Undecorated(), "is a value", "frozen=True"),
    "a list as a field": (Listed(), "is a value", "unhashable"),
    "differentiates what it says it does not": (Differentiating(), "reads values only", "reads_extension"),
}
