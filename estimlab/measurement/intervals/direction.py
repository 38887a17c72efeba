"""Confidence intervals of the angle between an expected draw and the true gradient, right also near no angle at all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.measurement.intervals.bias import MeanError, squared_bias_interval
from estimlab.measurement.intervals.ratios import NORMAL_95
from estimlab.measurement.statistics import AgainstTruth

Ends = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Direction:
    """An expected draw split along the true gradient and across it; leading dimensions are replicates.

    Attributes:
        along: component along the true gradient.
        along_error: its standard error.
        across: what is known of the component across, whose squared norm is biased upwards by noise.
        correlation: between the errors of both parts, of the second in its own direction.
    """

    along: Float[Tensor, "*replicates"]
    along_error: Float[Tensor, "*replicates"]
    across: MeanError
    correlation: Float[Tensor, "*replicates"]

    @classmethod
    def of(
        cls,
        groups: Float[Tensor, "groups *replicates p"],
        mean: Float[Tensor, "*replicates p"],
        reference: Float[Tensor, " p"],
        reference_variance: Float[Tensor, " p"],
    ) -> Direction:
        """From the means of groups of draws of equal size.

        Args:
            groups: mean of each group.
            mean: of all draws.
            reference: the true gradient, not zero.
            reference_variance: squared standard error of the reference, small beside its norm.
        """
        axis = reference / reference.norm()
        deviations, number = groups - groups.mean(0), len(groups)
        pairs = number * (number - 1)  # of sums of products of group means: covariances of the mean of all
        along, lengthwise = mean @ axis, deviations @ axis
        rest = mean - along[..., None] * axis
        across = groups - (groups @ axis)[..., None] * axis
        noise = ((across - across.mean(0)) ** 2).sum(0) / pairs
        turned = (along[..., None] / reference.norm()) ** 2 * reference_variance  # by an error of the reference
        error = MeanError.of(across, rest, noise, turned)
        square = (lengthwise**2).sum(0) / pairs
        sideways = ((across - across.mean(0)) * rest).sum(-1)
        scale = ((sideways**2).sum(0) * (lengthwise**2).sum(0)).sqrt()
        together = (sideways * lengthwise).sum(0) / torch.where(scale > 0, scale, 1)
        return cls(along, square.sqrt(), error, together)

    def tangent(self, level: float = 0.95) -> Ends:
        """Interval of the tangent of the angle, from 0 to infinity.

        The quotient of the norm across, whose interval inverts a noncentral chi-square, and of the component along,
        which is normal: limits of both are combined as by Zou & Donner (2008, Statistics in Medicine 27), with the
        correlation. At no angle it is the first interval over the second's value.
        """
        low, high = (end.clamp(min=0).sqrt() for end in squared_bias_interval(self.across, level))
        norm = (self.across.distance - self.across.trace).clamp(min=0).sqrt().clamp(low, high)
        size = self.along.abs()
        z = NORMAL_95 if level == 0.95 else float(torch.special.ndtri(torch.tensor((1 + level) / 2)))
        share = z * self.along_error / size  # relative half width of the component along
        sign = torch.sign(self.along) * self.correlation
        below, above = (norm - low) / size, (high - norm) / size
        ratio = norm / size
        moved = share * ratio
        least = ratio - (below**2 + moved**2 - 2 * sign * below * moved).clamp(min=0).sqrt()
        most = ratio + (above**2 + moved**2 - 2 * sign * above * moved).clamp(min=0).sqrt()
        unknown = share >= 1  # the component along may be zero
        none = unknown | (low == 0)  # no component across is among what the draws allow, whatever the one along
        return torch.where(none, 0, least.clamp(min=0)), torch.where(unknown, torch.inf, most)

    def cosine(self, level: float = 0.95) -> Ends:
        """Interval of the cosine of the angle; all of [-1, 1] where even its sign is not known, NaN beside no truth."""
        near, far = ((1 + tangent**2).rsqrt() for tangent in self.tangent(level))
        low, high = torch.where(self.along > 0, far, -near), torch.where(self.along > 0, near, -far)
        unknown, none = far == 0, self.along.isnan()
        low, high = torch.where(unknown, -1, low), torch.where(unknown, 1, high)
        return torch.where(none, torch.nan, low), torch.where(none, torch.nan, high)


def bias_intervals(
    groups: Float[Tensor, "groups p"], whole: AgainstTruth, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Intervals of the statistics whose standard errors mislead near no bias, from the means of groups of draws.

    The relative bias is the root of the squared bias over the norm of the truth, whose own error, where the truth has
    one, widens the interval; NaN where the truth is zero. ``scale_invariant_bias`` is ``sqrt(2 - 2 cosine)``.

    Of 512 normal draws in three coordinates of equal deviation the interval of the cosine holds the truth in 97.3,
    95.3, 94.4 and 94.5 % at 0, 1, 3 and 10 standard errors across the gradient (4,000 measurements), that of the
    relative bias in 97.3, 94.9, 94.5 and 94.8 % (10,000).
    """
    difference, noise = whole.mean - whole.reference, whole.variance / whole.draws
    square = squared_bias_interval(MeanError.of(groups, difference, noise, whole.reference_variance), level)
    norm = whole.reference_norm
    reach = NORMAL_95 * (whole.reference**2 * whole.reference_variance).sum().sqrt() / norm
    smallest = torch.where(norm > reach, norm - reach, torch.where(norm.isnan(), norm, 0.0))
    relative = square[0].clamp(min=0).sqrt() / (norm + reach), square[1].clamp(min=0).sqrt() / smallest
    low, high = Direction.of(groups, whole.mean, whole.reference, whole.reference_variance).cosine(level)
    turned = (2 - 2 * high).clamp(min=0).sqrt(), (2 - 2 * low).clamp(min=0).sqrt()
    found = {"squared_bias": square, "relative_bias": relative, "cosine": (low, high), "scale_invariant_bias": turned}
    return {name: (float(a), float(b)) for name, (a, b) in found.items()}
