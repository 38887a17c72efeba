"""An estimator as a drop-in torch activation for training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from estimlab.errors import EstimlabError
from estimlab.estimators.base import ActivationEstimator, Estimator
from estimlab.model.units import BinaryUnits
from estimlab.randomness import open_uniform


class BinaryActivation(nn.Module):
    """Binary units as a module: ``nn.Sequential(nn.Linear(8, 8), BinaryActivation(StraightThrough()), ...)``.

    The backward rule is the code that is measured: the estimator's own ``activate``. States are drawn in evaluation
    mode too; use several passes, or ``expected``, for a deterministic network.

    Args:
        estimator: a hard-forward or relaxed estimator.
        units: law and coding; ``BinaryUnits()`` by default.
        generator: torch generator of the module's device; torch's default generator where it is None.

    Errors:
        EstimlabError: the estimator is not an activation (REINFORCE, ARM and others need the objective).
    """

    def __init__(
        self, estimator: Estimator, units: BinaryUnits | None = None, generator: torch.Generator | None = None
    ):
        super().__init__()
        if not isinstance(estimator, ActivationEstimator):
            raise EstimlabError(
                f"BinaryActivation({estimator!r}): this estimator needs values of the objective and cannot act as an "
                "activation. Use a hard-forward or relaxed one, for example el.StraightThrough()."
            )
        self.estimator, self.units, self.generator = estimator, units or BinaryUnits(), generator

    def forward(self, a: Tensor) -> Tensor:
        """Drawn (or relaxed) states of pre-activations of any shape."""
        uniforms = [open_uniform(a, self.generator) for _ in range(1 + self.estimator.extra_channels)]
        return self.estimator.activate(a, torch.stack(uniforms) if len(uniforms) > 1 else uniforms[0], self.units)

    def expected(self, a: Tensor) -> Tensor:
        """The mean state, ``low + (high - low) F(a)``."""
        return self.units.state(self.units.law.cdf(a))

    def extra_repr(self) -> str:
        """Estimator and units, for ``print``."""
        return f"{self.estimator!r}, {self.units!r}"
