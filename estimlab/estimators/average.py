"""The mean of several draws, for any estimator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.claims import Claims
from estimlab.estimators.rollout import check_count
from estimlab.estimators.straight_through import StraightThrough
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Key, Noise


class OffsetNoise(Noise):
    """A view of a source whose channels are moved up; ``channels`` counts how many were asked for."""

    def __init__(self, noise: Noise, offset: int):
        super().__init__()
        self.noise, self.offset, self.channels = noise, offset, 0

    def _uniform(self, key: Key, probability: Tensor, cuts: Sequence[Tensor], degree: float) -> Tensor:
        site, channel = key
        self.channels = max(self.channels, channel + 1)
        return self.noise.uniform(site, channel + self.offset, probability, cuts, degree)


def mean_of_draws(
    surrogate: Callable[[Problem, Noise], Tensor], problem: Problem, noise: Noise, draws: int
) -> Float[Tensor, " batch"]:
    """The value of the first draw, with the mean gradient of all of them.

    The first draw sees the source as it is, so it is the draw that the surrogate alone would make.
    """
    first = OffsetNoise(noise, 0)
    values = [surrogate(problem, first)]
    values += [surrogate(problem, OffsetNoise(noise, j * first.channels)) for j in range(1, draws)]
    mean = torch.stack(values).mean(0)
    return values[0].detach() + (mean - mean.detach())


@final
@dataclass(frozen=True)
class Average(Estimator):
    """The mean of K independent draws of another estimator (elementary).

    Same mean and bias, variance divided by K, cost times K. The first draw has the estimator's own noise, so for the
    same noise it visits the same states; its value is that of this first draw. Claims are those of the estimator.

    Attributes:
        estimator: any estimator; derived straight-through by default.
        draws: K, at least 1.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.Average(el.Reinforce(), 2)).relative_std["0"], 3)
    1.09
    """

    citation: ClassVar[str] = "elementary: the mean of independent draws"

    estimator: Estimator = field(default_factory=StraightThrough)
    draws: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.estimator, Estimator):
            raise EstimlabError(f"Average(estimator={self.estimator!r}): give an estimator such as el.Reinforce().")
        check_count("Average", "draws", self.draws, 1)

    @property
    def mappable(self) -> bool:  # type: ignore[override]
        """That of the estimator."""
        return self.estimator.mappable

    def claims(self) -> Claims:
        """Those of the estimator."""
        return self.estimator.claims()

    def cost(self, depth: int) -> Cost:
        """That of the estimator, times the number of draws."""
        one = self.estimator.cost(depth)
        return Cost(self.draws * one.forward, self.draws * one.backward)

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The value of the first draw, with the mean gradient of all of them."""
        return mean_of_draws(self.estimator.surrogate, problem, noise, self.draws)
