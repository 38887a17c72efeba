"""Confidence intervals where a standard error is not enough: the squared bias, and the flag of heavy tails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

LARGEST_SHARE = 0.1  # of the variance in one of 64 groups: beyond, draws are called heavy-tailed
_STEPS = 40  # of a bisection: twelve digits


@dataclass(frozen=True, eq=False)
class MeanError:
    """What is known of the error of a mean over p coordinates, of covariance C; leading dimensions are replicates.

    Attributes:
        distance: squared norm of mean minus truth, biased upwards by the trace.
        trace: tr C.
        square: tr C^2.
        along: variance of the component along the difference, ``b' C b / |b|^2``.
    """

    distance: Float[Tensor, "*replicates"]
    trace: Float[Tensor, "*replicates"]
    square: Float[Tensor, "*replicates"]
    along: Float[Tensor, "*replicates"]

    @classmethod
    def of(
        cls,
        groups: Float[Tensor, "groups *replicates p"],
        difference: Float[Tensor, "*replicates p"],
        noise: Float[Tensor, "*replicates p"],
        reference_variance: Float[Tensor, "*#replicates p"],
    ) -> MeanError:
        """From the means of groups of draws of equal size.

        Args:
            groups: mean of each group.
            difference: mean of all draws minus truth.
            noise: variance of the mean of all draws, per coordinate.
            reference_variance: squared standard error of the reference.
        """
        deviation = (groups - groups.mean(0)).movedim(0, -2)
        distance = (difference**2).sum(-1)
        trace = noise.sum(-1) + reference_variance.sum(-1)
        square = _square_of_mean(deviation)
        square = square + (reference_variance**2).sum(-1) + 2 * (reference_variance * noise).sum(-1)
        along = _along_of_mean(deviation, difference)
        along = along + (difference**2 * reference_variance).sum(-1)
        return cls(distance, trace, square.clamp(min=0), along / torch.where(distance > 0, distance, 1))

    def scale(self, squared_bias: Tensor) -> Float[Tensor, "*replicates"]:
        """s such that s times a noncentral chi-square has the mean and the variance of the distance.

        With tr C / s degrees of freedom and noncentrality ``beta / s``, beta the squared bias, the mean is
        ``tr C + beta``, and the variance that of the distance, ``2 tr C^2 + 4 b' C b``, for
        ``s = (tr C^2 + 2 beta b' C b / |b|^2) / (tr C + 2 beta)``. With the same variance in every direction s is that
        variance, and the distribution exact.
        """
        s = (self.square + 2 * squared_bias * self.along) / (self.trace + 2 * squared_bias)
        return torch.where(self.trace > 0, torch.minimum(s, self.trace), 1)

    def below(self, squared_bias: Tensor) -> Float[Tensor, "*replicates"]:
        """Probability of a smaller distance, given the squared bias."""
        from scipy.stats import ncx2  # takes a second to import: only who asks for an interval waits

        s = self.scale(squared_bias)
        parts = (self.distance / s, self.trace / s, squared_bias / s)
        return torch.from_numpy(np.asarray(ncx2.cdf(*(part.cpu().numpy() for part in parts)))).to(s)


def _square_of_mean(deviation: Float[Tensor, "*replicates groups p"]) -> Float[Tensor, "*replicates"]:
    """``tr C^2``, C the covariance of the mean of all groups, from what each deviates from it."""
    number = deviation.shape[-2]
    freedom = number - 1
    gram = (deviation @ deviation.mT) / (number * freedom)
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)
    plain = (gram**2).sum((-2, -1))
    # unbiased for Gaussian draws: the plain tr C^2 is too large by (tr^2 C + tr C^2) / freedom
    return freedom**2 / ((freedom - 1) * (freedom + 2)) * (plain - trace**2 / freedom)


def _along_of_mean(
    deviation: Float[Tensor, "*replicates groups p"], difference: Float[Tensor, "*replicates p"]
) -> Float[Tensor, "*replicates"]:
    """``b' C b``, C as in ``_square_of_mean``."""
    number = deviation.shape[-2]
    components = (deviation @ difference[..., None])[..., 0]
    return (components**2).sum(-1) / (number * (number - 1))


def squared_bias_interval(
    error: MeanError, level: float = 0.95
) -> tuple[Float[Tensor, "*replicates"], Float[Tensor, "*replicates"]]:
    """Interval of ``|bias|^2`` by inversion of the noncentral chi-square.

    Its ends are the squared biases of which the distance is the upper and the lower quantile. It covers also where the
    bias is zero, unlike an interval around the debiased squared bias, whose distribution is then not normal.

    Where deviations differ between coordinates, the direction of the bias matters and is estimated. Of 10,000
    measurements of 512 normal draws in three coordinates, 95 % intervals hold the truth in 94.4 to 97.2 % with equal
    deviations; with deviations of 1, 2 and 4 in 95.5 to 97.5 % of a bias that avoids the third coordinate, but in 92.4,
    93.4 and 94.3 % of one along it, of 1, 3 and 10 standard errors.
    """
    ends = [_with_quantile(error, (1 + sign * level) / 2) for sign in (1, -1)]
    exact = error.trace == 0
    low, high = (torch.where(exact, error.distance, end) for end in ends)
    return low, high


def squared_bias_p_value(error: MeanError) -> Float[Tensor, "*replicates"]:
    """Probability of so large a distance without any bias."""
    return 1 - error.below(torch.zeros_like(error.distance))


def _with_quantile(error: MeanError, probability: float) -> Float[Tensor, "*replicates"]:
    """The squared bias of which the distance is that quantile; zero where even zero is too large. By bisection."""
    low = torch.zeros_like(error.distance)
    high = (error.distance.sqrt() + 10 * error.trace.sqrt()) ** 2
    inside = error.below(low) > probability
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = error.below(middle) > probability  # falls as the bias grows
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return torch.where(inside, (low + high) / 2, 0.0)


def largest_share(squares: Float[Tensor, "groups *replicates"]) -> Float[Tensor, "*replicates"]:
    """Share of the group that holds most of the sum of squared deviations; zero where nothing varies."""
    total = squares.sum(0)
    return torch.where(total > 0, squares.max(0).values / torch.where(total > 0, total, 1), 0.0)
