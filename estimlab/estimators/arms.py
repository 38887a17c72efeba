"""ARMS: several antithetic samples by the Dirichlet copula."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.estimators.arm import Antithetic, Twins
from estimlab.estimators.rollout import check_count
from estimlab.model.laws import NoiseLaw, PerUnit
from estimlab.randomness.noise import Noise


@final
@dataclass(frozen=True)
class ARMS(Antithetic):
    """ARMS, antithetic REINFORCE with K samples (Dimitriev & Zhou 2021, arXiv 2105.14141), Dirichlet copula.

    The samples' uniforms are those of a Dirichlet(1, ..., 1) vector d, mirrored so that a unit takes its *rarer* state,
    of probability r = min(p, 1-p), where ``(1 - d_i)^(K-1) < r``. A draw is the leave-one-out REINFORCE of the K
    states, divided by one minus their correlation: pre-activations receive

        sum_i (f_i - mean f) (b_i - p) F'(a) / ((K-1) (r - s_2)),    s_j = max(0, j r^(1/(K-1)) - j + 1)^(K-1),

    where s_j is the probability that j given samples are rare. For K = 2 this is DisARM. Unbiased in all layers: the
    samples of one layer share the states below, and each goes on alone above. Other laws than the logistic, deep
    networks and the way of drawing are our reading: the first state is the main pass's, and the next ones are drawn one
    by one, given those before, by channels of their own, so that the *states* (all that matters) have the copula's law.
    Cost: K - 1 times the tails of DisARM.

    Attributes:
        tails: whether samples draw noise of their own above their layer, or share the main pass's uniforms.
        samples: K, from 2 to 16.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.ARMS(samples=4)).relative_std["0"], 3)
    0.181
    """

    citation: ClassVar[str] = "Dimitriev & Zhou 2021, arXiv 2105.14141"
    name: ClassVar[str] = "arms"

    samples: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("ARMS", "samples", self.samples, 2, 16)

    @property
    def twins(self) -> int:
        """All samples but the main pass's."""
        return self.samples - 1

    @property
    def channels(self) -> int:
        """One per sample."""
        return self.samples

    def draw_twins(self, k: int, a: Tensor, uniform: Tensor, law: NoiseLaw, noise: Noise) -> Twins:
        """The other samples, and what multiplies the difference of their values."""
        upper = a > 0  # there the low state is the rarer one
        rare = law.cdf(-a.abs())
        chances = next_is_rare(rare.double(), self.samples)
        states = [(uniform < law.cdf(a)) ^ upper]
        for i in range(1, self.samples):
            seen = torch.stack(states).sum(0)
            chance = chances[i - 1].to(a.dtype).gather(0, seen[None])[0]
            states.append(noise.uniform(k, i, chance) < chance)
        bits = torch.stack([state ^ upper for state in states])
        # F' / (r - s_2) as a score over 1 - s_2 / r, which stays finite where the rarer state never comes
        pairs = (2 - rare.pow(-1 / self.twins)).clamp(min=0) ** self.twins
        factor = law.score(-a.abs()) / (1 - pairs) / self.twins
        mean = bits.to(a.dtype).mean(0)
        return [(bit, (mean - bit.to(a.dtype)) * factor) for bit in bits[1:]]


def next_is_rare(rare: PerUnit, samples: int) -> list[Float[Tensor, "..."]]:
    r"""Probability that sample i + 1 is rare given that j of the first i are, for i = 1 .. samples - 1.

    A tensor (i + 1, \*shape) over j for each i. With ``q(j, c)`` the probability that j given samples are rare and c
    others are not, ``q(j, 0) = s_j`` and ``q(j, c + 1) = q(j, c) - q(j + 1, c)``.
    """
    root = rare.pow(1 / (samples - 1))
    rows = [[(j * root - (j - 1)).clamp(min=0) ** (samples - 1) for j in range(samples + 1)]]
    for _ in range(samples - 1):
        rows.append([one - more for one, more in pairwise(rows[-1])])
    return [torch.stack([_ratio(rows[i - j][j + 1], rows[i - j][j]) for j in range(i + 1)]) for i in range(1, samples)]


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """A conditional probability; any number where the condition has probability zero up to rounding."""
    possible = whole > 0
    return torch.where(possible, part / torch.where(possible, whole, 1), 0).clamp(0, 1)
