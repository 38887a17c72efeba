"""Surrogate gradients: a deterministic step forward, a fixed bump backward."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

import torch

from estimlab.errors import EstimlabError
from estimlab.estimators.base import ActivationEstimator, replace_derivative
from estimlab.estimators.claims import Claims
from estimlab.model.laws import PerUnit
from estimlab.model.units import BinaryUnits

Shape = Literal["sigmoid", "atan", "fast_sigmoid", "superspike", "triangle", "boxcar", "gaussian"]
_SLOPES = {"sigmoid": 25.0, "atan": 2.0, "fast_sigmoid": 25.0, "superspike": 100.0, "gaussian": 2.0}


@final
@dataclass(frozen=True)
class SurrogateGradient(ActivationEstimator):
    """Surrogate gradient of spiking networks (Neftci, Mostafa & Zenke 2019, arXiv 1901.09948).

    A "draw": nothing is drawn. The state is high where ``a > 0``, whatever the noise law, and ``d bit / d a`` (0/1
    coding) is replaced by h(a), with slope k, x = k a, and defaults as in snnTorch (sigmoid, atan, fast_sigmoid: k =
    25, 2, 25), Norse (superspike, the same h: 100) and SpikingJelly (triangle, boxcar, gaussian: 1, 1, 2):

        sigmoid        k sigma(x) sigma(-x)             triangle    k max(0, 1 - |x|)
        atan           (k/2) / (1 + (pi x / 2)^2)       boxcar      k 1[|x| < 1/2]
        fast_sigmoid   1 / (1 + |x|)^2                  gaussian    k exp(-x^2) / sqrt(pi)

    All integrate to one except fast_sigmoid and superspike, which integrate to 2 / k. No variance; the bias includes
    that of leaving the noise out. h is the derivative of one neuron's expected spike if and only if it is the density
    of its escape noise (Gygax & Zenke 2024, arXiv 2404.14964); straight-through is then the same rule with the spike
    drawn. Cost: one forward and one backward pass.

    Attributes:
        shape: of h, one of the names above or ``"superspike"``.
        slope: k > 0, in units of one over the pre-activation; None for the shape's default.

    >>> import estimlab as el
    >>> el.SurrogateGradient("triangle", slope=2.0).bump(torch.tensor([0.0, 0.25, 1.0]))
    tensor([2., 1., 0.])
    """

    citation: ClassVar[str] = "Neftci, Mostafa & Zenke 2019, arXiv 1901.09948; shapes of snnTorch, Norse, SpikingJelly"
    reads_uniform: ClassVar[bool] = False

    shape: Shape = "fast_sigmoid"
    slope: float | None = None

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise EstimlabError(f"SurrogateGradient(shape={self.shape!r}): one of {', '.join(get_args(Shape))}.")
        if self.slope is not None and not (math.isfinite(self.slope) and self.slope > 0):
            raise EstimlabError(f"SurrogateGradient(slope={self.slope!r}): a positive number, or None for the default.")

    def claims(self) -> Claims:
        """Nothing of its bias; nothing is drawn."""
        return Claims(exact_degree=0, deterministic=True, draws_states=False)

    def activate(self, a: PerUnit, uniform: PerUnit, units: BinaryUnits) -> PerUnit:
        """The deterministic states; ``uniform`` is not read."""
        fixed = a.detach()
        return replace_derivative(a, units.state((fixed > 0).to(a.dtype)), units.gap * self.bump(fixed))

    def bump(self, a: PerUnit) -> PerUnit:
        """h(a)."""
        slope = _SLOPES.get(self.shape, 1.0) if self.slope is None else self.slope
        x = slope * a
        match self.shape:
            case "sigmoid":
                return slope * torch.sigmoid(x) * torch.sigmoid(-x)
            case "atan":
                return slope / 2 / (1 + (math.pi / 2 * x) ** 2)
            case "triangle":
                return slope * torch.clamp(1 - x.abs(), min=0)
            case "boxcar":
                return slope * (x.abs() < 0.5).to(a.dtype)
            case "gaussian":
                return slope * torch.exp(-x * x) / math.sqrt(math.pi)
            case _:
                return 1 / (1 + x.abs()) ** 2
