"""An estimator as a drop-in torch activation for training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from estimlab.arguments import refusal
from estimlab.declared import Checked
from estimlab.errors import EstimlabError
from estimlab.estimators.base import ActivationEstimator, Estimator
from estimlab.model import arguments
from estimlab.model.laws import NoiseLaw
from estimlab.model.units import BinaryUnits
from estimlab.randomness.noise import open_uniform


class BinaryActivation(Checked, nn.Module):
    """Binary units as a module: ``nn.Sequential(nn.Linear(8, 8), BinaryActivation(StraightThrough()), ...)``.

    The backward rule is the code that is measured: the estimator's own ``activate``. States are drawn in evaluation
    mode too; use several passes, or ``expected``, for a deterministic network.

    Args:
        estimator: a hard-forward or relaxed estimator, its class or its name.
        units: law and coding; ``BinaryUnits()`` by default.
        generator: torch generator of the module's device; torch's default generator where it is None.

    Errors:
        EstimlabError: the estimator is not an activation (REINFORCE, ARM and others need the objective).

    >>> import estimlab as el
    >>> activation = el.BinaryActivation("zgr", generator=torch.Generator().manual_seed(0))
    >>> sorted(set(activation(torch.zeros(100)).tolist())), activation.expected(torch.zeros(2)).tolist()
    ([-1.0, 1.0], [0.0, 0.0])
    """

    def __init__(
        self,
        estimator: Estimator | type[Estimator] | str,
        units: BinaryUnits | NoiseLaw | str | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        estimator = Estimator.given(estimator, "BinaryActivation", "estimator")
        if not isinstance(estimator, ActivationEstimator):
            raise EstimlabError(
                f"BinaryActivation({estimator!r}): this estimator needs values of the objective and cannot act as an "
                "activation. Use a hard-forward or relaxed one, for example el.StraightThrough()."
            )
        if generator is not None and not isinstance(generator, torch.Generator):
            advice = "Make one of a seed: torch.Generator().manual_seed(0)."
            raise refusal("BinaryActivation", "generator", generator, "a torch.Generator or None", advice)
        self.estimator, self.generator = estimator, generator
        self.units = BinaryUnits() if units is None else arguments.binary_units(units, "BinaryActivation", "units")

    def forward(self, a: Tensor) -> Tensor:
        """Drawn (or relaxed) states of pre-activations of any shape."""
        if not isinstance(a, Tensor) or not a.is_floating_point():
            raise refusal("BinaryActivation", "a", a, "a tensor of floating numbers", "Write a.float(), for example.")
        uniforms = [open_uniform(a, self.generator) for _ in range(1 + self.estimator.extra_channels)]
        return self.estimator.activate(a, torch.stack(uniforms) if len(uniforms) > 1 else uniforms[0], self.units)

    def expected(self, a: Tensor) -> Tensor:
        """The mean state, ``low + (high - low) F(a)``."""
        return self.units.state(self.units.law.cdf(a))

    def extra_repr(self) -> str:
        """Estimator and units, for ``print``."""
        return f"{self.estimator!r}, {self.units!r}"
