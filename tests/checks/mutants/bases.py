"""What mutants are made from."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from estimlab.estimators.base import Estimator, HardForward

DEGREE = "exact within one layer, degree "


@dataclass(frozen=True)
class ValuesOnly(Estimator):
    """Claims everything that REINFORCE does."""

    exact_degree: ClassVar[float] = math.inf
    unbiased: ClassVar[Literal["all layers"]] = "all layers"
    reads_extension: ClassVar[bool] = False


@dataclass(frozen=True)
class Density(HardForward):
    """Straight-through; claims to be exact for linear objectives by default."""

    factor: float = 1.0

    def derivative(self, a, bit, uniform, law):
        return self.factor * law.density(a)
