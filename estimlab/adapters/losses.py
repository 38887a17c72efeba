"""Surrogate losses of other people: any code whose gradient is an estimate, with its random numbers answered by us."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimlab.adapters.interception import Intercepted
from estimlab.arguments import described
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.claims import Claims
from estimlab.measurement.counting import count_passes
from estimlab.model.chain import Chain
from estimlab.model.laws import Logistic
from estimlab.model.objectives import Quadratic
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits
from estimlab.randomness.noise import Noise

Loss = Callable[[Problem], Tensor]


@final
@dataclass(frozen=True)
class SurrogateLoss(Estimator):
    """A loss of the whole problem whose gradient is the estimate: storchastic, Pyro, a paper's own training loop.

    A draw: ``loss(problem)``, one value per example or their mean, differentiated by the network's parameters. Every
    random operation of torch inside is answered from the noise: the j-th takes channel j, bits are ``u < p``. Draws are
    taken one by one, and as further examples of one call where that gives the same gradients.

    Attributes:
        loss: from a problem to its surrogate loss; its parameters are those of ``problem.network``.
        degree: claimed ``exact_degree``; infinity for an unbiased estimator.
        claimed: in which layers the estimate is claimed to be unbiased.
        label: name in tables; the loss's own by default.

    >>> import estimlab as el
    >>> el.SurrogateLoss(print, degree=2, claimed="last layer").claims().unbiased
    'last layer'
    """

    citation: ClassVar[str] = "the loss's own"
    mappable: ClassVar[bool] = False

    loss: Loss
    degree: float = 0
    claimed: Literal["all layers", "last layer", "nowhere"] = "nowhere"
    label: str = ""

    def __post_init__(self) -> None:
        if not callable(self.loss):
            raise EstimlabError(f"SurrogateLoss(loss={self.loss!r}): give a function of a problem.")

    @property
    def name(self) -> str:  # type: ignore[override]
        """The label, or the loss's own name."""
        return self.label or getattr(self.loss, "__name__", type(self.loss).__name__)

    def claims(self) -> Claims:
        """What the fields say."""
        return Claims(exact_degree=self.degree, unbiased=self.claimed)

    def cost(self, depth: int) -> Cost:
        """Counted, on a small chain of that depth; that of one pass where the loss does not take such a chain."""
        return _counted(self, depth)

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The loss, per example."""
        channels = _Channels(noise)
        try:
            with Intercepted(channels):
                value = self.loss(problem)
        except (EstimlabError, RuntimeError):
            raise
        except Exception as error:
            raise EstimlabError(
                f"{described(self.loss)} fails on the problem: {type(error).__name__}: {error}. A loss takes the "
                "problem and returns one value per example."
            ) from error
        if not channels.used:
            raise EstimlabError(f"{described(self.loss)} draws nothing by torch: every draw would be the same.")
        if not isinstance(value, Tensor) or value.shape not in ((), (problem.batch,)):
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise EstimlabError(
                f"{described(self.loss)} returned {got} for {problem.batch} example(s): it must return one value per "
                "example, or their mean."
            )
        return value.expand(problem.batch)


class _Channels:
    """A supply for whole problems: the j-th random operation of a draw is channel j of site 0."""

    def __init__(self, noise: Noise):
        self.noise, self.used = noise, 0

    def __call__(self, shape: tuple[int, ...], probability: Tensor | None) -> Tensor:
        channel, self.used = self.used, self.used + 1
        if probability is None:
            half = torch.full(shape, 0.5, dtype=torch.float64)
            return self.noise.uniform(0, channel, half, degree=math.nan).reshape(shape)
        return self.noise.uniform(0, channel, probability.double()).reshape(shape)


@lru_cache(maxsize=64)
def _counted(estimator: SurrogateLoss, depth: int) -> Cost:
    chain = Chain([nn.Linear(2, 2) for _ in range(depth)], nn.Linear(2, 1), BinaryUnits(Logistic(), 0.0, 1.0))
    try:
        return count_passes(Problem(chain, Quadratic(), torch.zeros(2, 2)), estimator)
    except Exception:  # it is other people's code: whatever it says, its cost is not known
        return Cost(depth + 1, depth + 1)


def from_gradient(
    problem: Problem, estimate: Callable[[Tensor], Any], value: Float[Tensor, " batch"] | None = None
) -> Float[Tensor, " batch"]:
    """The surrogate loss of code that returns, per example, a gradient by the pre-activations of the first site.

    Args:
        problem: of one stochastic layer.
        estimate: from pre-activations (a leaf) to that gradient, of their shape.
        value: the objective at the drawn states, zero where it is not given.
    """
    a, _ = problem.network.preactivation(0, problem.network.initial(problem.inputs))
    gradient = torch.as_tensor(estimate(a.detach().requires_grad_())).detach()
    linear = (gradient.to(a.dtype) * a).flatten(1).sum(1)
    fixed = torch.zeros_like(linear) if value is None else value.detach()
    return fixed + (linear - linear.detach())
