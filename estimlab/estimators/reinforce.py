"""The score-function estimator and its baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.claims import Claims
from estimlab.estimators.rollout import check_count, log_score, rollout
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Noise


@final
@dataclass(frozen=True)
class Reinforce(Estimator):
    """REINFORCE, the score-function estimator (Williams 1992, Machine Learning 8).

    A draw: ``(f(x) - baseline) sum_k d log P(x_k | x_{k-1}) / d theta`` plus the direct derivative of f by the head.
    Unbiased in all layers for every objective and every baseline that does not depend on the draw; uses values of the
    objective only. Cost: one forward and one (local) backward pass.

    Attributes:
        baseline: a number (0: none), or ``"exact_mean"``, the example's expected objective, which the problem must
            carry (``problem.with_expected(reference.gradient(problem).expected)``; ``el.measure`` does so itself).

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.Reinforce()).relative_std["0"], 3)
    1.542
    """

    citation: ClassVar[str] = "Williams 1992, Machine Learning 8"

    baseline: float | Literal["exact_mean"] = 0.0

    def __post_init__(self) -> None:
        if self.baseline != "exact_mean" and not (
            isinstance(self.baseline, float | int) and math.isfinite(self.baseline)
        ):
            raise EstimlabError(f"Reinforce(baseline={self.baseline!r}): give a number or 'exact_mean'.")

    def claims(self) -> Claims:
        """Unbiased; values of the objective only."""
        return Claims(exact_degree=math.inf, unbiased="all layers", reads_extension=False)

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The value, with the score times the advantage as its gradient."""
        value, path = rollout(problem, noise)
        linear = (value.detach() - self._baseline(problem)) * log_score(path)
        return value + (linear - linear.detach())  # exactly the value

    def _baseline(self, problem: Problem) -> Tensor | float:
        if not isinstance(self.baseline, str):
            return self.baseline
        if problem.expected is None:
            raise EstimlabError(
                "Reinforce(baseline='exact_mean') needs the expected objective of each example: use "
                "problem.with_expected(el.exact_reference(problem).expected)."
            )
        return problem.expected


@final
@dataclass(frozen=True)
class ReinforceLOO(Estimator):
    """REINFORCE with a leave-one-out baseline (Kool, van Hoof & Welling 2019, ICLR workshop "Buy 4 REINFORCE samples").

    K passes, each drawn by a channel of its own; a pass's baseline is the mean value of the K - 1 others. A draw is
    the mean over the passes of ``(f_j - mean of the others) d log P(x^j) / d theta`` and of the direct derivative of
    f by the head; for K = 2, ``(f_1 - f_2) (s_1 - s_2) / 2`` with the scores s. Unbiased in all layers; uses values of
    the objective only. Cost: K times that of REINFORCE. Its value is that of the first pass.

    Attributes:
        samples: K, at least 2.

    >>> import estimlab as el
    >>> problem = el.Problem(el.Chain([el.Logits([0.7])]), el.Polynomial(power=3))
    >>> round(el.quadrature_moments(problem, el.ReinforceLOO(samples=4)).relative_std["0"], 3)
    0.542
    """

    citation: ClassVar[str] = "Kool, van Hoof & Welling 2019, ICLR workshop"

    samples: int = 2

    def __post_init__(self) -> None:
        check_count("ReinforceLOO", "samples", self.samples, 2)

    def claims(self) -> Claims:
        """Unbiased; values of the objective only."""
        return Claims(exact_degree=math.inf, unbiased="all layers", reads_extension=False)

    def cost(self, depth: int) -> Cost:
        """That of REINFORCE for every pass."""
        return Cost(self.samples * (depth + 1), self.samples * (depth + 1))

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The first pass's value, with the mean of all passes' terms as its gradient."""
        passes = [rollout(problem, noise, channel) for channel in range(self.samples)]
        values = torch.stack([value.detach() for value, _ in passes])
        total = torch.zeros_like(values[0])
        for fixed, (value, path) in zip(values, passes, strict=True):
            others = (values.sum(0) - fixed) / (self.samples - 1)
            total = total + (value + (fixed - others) * log_score(path)) / self.samples
        return values[0] + (total - total.detach())
