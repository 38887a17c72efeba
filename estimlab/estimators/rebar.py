"""REBAR and RELAX: the score function with a relaxation, conditioned on the drawn state, as its control variate."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Cost, Estimator
from estimlab.estimators.claims import Claims
from estimlab.estimators.rollout import DrawnSite, rollout
from estimlab.estimators.temperature import check_temperature
from estimlab.model.laws import NoiseLaw, PerUnit
from estimlab.model.problem import Problem
from estimlab.randomness.noise import Noise

Coupling = Literal["independent", "common"]


@dataclass(frozen=True)
class ConditionalControl(Estimator):
    """Layer by layer, a control variate c of the noisy pre-activations ``z = a - Z``, at given parameters.

    With z~ drawn from the law of z given the state, layer k's pre-activations receive

        (f(x) - c(z~)) d log P(x_k) / d a_k + d c(z) / d a_k - d c(z~) / d a_k,

    both z and z~ reparametrised by uniforms that are held fixed: ``z = a - Q(u)`` and ``z~ = a -+ Q(v F(+-a))``, Q the
    quantile, upper signs where the state is high. ``relaxed`` is the objective with the drawn states below layer k,
    ``F(z / tau)`` in layer k, and relaxed states of the main pass's noise in the layers above (the multilayer form of
    Tucker et al. 2017, as we read it). Unbiased in all layers for every objective and c. Cost: two relaxed tails above
    each layer, forward and backward, quadratic in depth. As tau goes to 0 the variance is O(1 / tau), in
    one layer that of Gumbel-Softmax on eta f (our derivation).

    Attributes:
        temperature: tau > 0, in units of the noise's scale.
        eta: factor of the relaxed objective in c.
        coupling: v ``"independent"`` (channel 1), or ``"common"``: made from u, so that z~ = z in value.
    """

    reads_uniform: ClassVar[bool] = True

    temperature: float = 0.5
    eta: float = 1.0
    coupling: Coupling = "independent"

    def __post_init__(self) -> None:
        who = type(self).__name__
        check_temperature(who, self.temperature, "small ones have a large variance")
        if not math.isfinite(self.eta):
            raise EstimlabError(f"{who}(eta={self.eta!r}): eta must be a finite number; 0 leaves the relaxation out.")
        if self.coupling not in get_args(Coupling):
            raise EstimlabError(f"{who}(coupling={self.coupling!r}): coupling is 'independent' or 'common'.")

    def claims(self) -> Claims:
        """Unbiased, with a variance that grows as the temperature falls."""
        return Claims(exact_degree=math.inf, unbiased="all layers", bounded_variance=False)

    @abc.abstractmethod
    def control(self, drawn: DrawnSite, z: Tensor, relaxed: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """c at a layer, from its noisy pre-activations and the relaxed objective."""

    def cost(self, depth: int) -> Cost:
        """The main pass, and two tails above each layer."""
        return Cost(depth + 1 + depth * (depth + 1), depth + 1 + depth * (depth + 1))

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The value, with the terms of all layers as its gradient."""
        value, path = rollout(problem, noise, cuts=self._kinks, degree=math.inf)
        total = torch.zeros_like(value)
        for k, drawn in enumerate(path):
            v = self._conditional_uniform(k, drawn, noise)
            _, slope = self._control(problem, path, k, partial(free, drawn=drawn))
            given, slope_given = self._control(problem, path, k, partial(conditional, drawn=drawn, v=v))
            score = drawn.sum_units(drawn.score * drawn.a)
            total = total + (value.detach() - given) * score + drawn.sum_units((slope - slope_given) * drawn.a)
        return value + (total - total.detach())

    def _kinks(self, a: Tensor, law: NoiseLaw) -> list[Tensor]:
        return law.relaxation_kinks(a, self.temperature)

    def _conditional_uniform(self, k: int, drawn: DrawnSite, noise: Noise) -> Tensor:
        tail = drawn.law.cdf(drawn.towards(drawn.a.detach()))
        below = torch.where(drawn.bit, drawn.uniform, 1 - drawn.uniform)
        if self.coupling == "common":
            return (below / tail).clamp(max=1)
        levels = [torch.where(drawn.bit, level, 1 - level) for level in self._kinks(drawn.a.detach(), drawn.law)]
        cuts = [(level / tail).clamp(max=1) for level in levels] or [torch.full_like(tail, 0.5)]
        return noise.uniform(k, 1, tail, cuts, math.inf)

    def _control(
        self, problem: Problem, path: list[DrawnSite], k: int, noisy: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """c at layer k's z, and its slope by the pre-activations."""

        def run(a: Tensor) -> Tensor:
            z = noisy(a)
            return self.control(path[k], z, self._relaxed(problem, path, k, z))

        with torch.no_grad():  # nothing here is differentiated again
            result: Any = torch.func.vjp(run, path[k].a.detach())
            value, pull = result
            (slope,) = pull(torch.ones_like(value))
        return value, slope / problem.batch if path[k].site.shared else slope

    def _relaxed(self, problem: Problem, path: list[DrawnSite], k: int, z: Tensor) -> Float[Tensor, " batch"]:
        """The objective with relaxed states from layer k on, whose noisy pre-activations are z."""

        def states(j: int, a: Tensor, carry: Any) -> Tensor:
            return self._relaxed_state(path[j], free(a, path[j]))

        carry = problem.network.advance(k, path[k].carry, self._relaxed_state(path[k], z))
        return problem.run(states, k + 1, carry)

    def _relaxed_state(self, drawn: DrawnSite, z: Tensor) -> Tensor:
        return drawn.site.units.state(drawn.law.cdf(z / self.temperature))


def free(a: PerUnit, drawn: DrawnSite) -> PerUnit:
    """z: the noise that decided the state."""
    return a - drawn.law.quantile(drawn.uniform)


def conditional(a: PerUnit, drawn: DrawnSite, v: PerUnit) -> PerUnit:
    """z~: noise given the state, its quantile taken in the tail on the state's side, which loses no digits."""
    return a - drawn.towards(drawn.law.quantile(v * drawn.law.cdf(drawn.towards(a))))


@final
@dataclass(frozen=True)
class REBAR(ConditionalControl):
    """REBAR (Tucker et al. 2017, arXiv 1703.07370) at given control-variate parameters.

    The control variate is eta times the objective at the relaxed states, ``eta f(F(z / tau))``; for logistic noise of
    scale 1, ``F(z / tau) = sigmoid(z / tau)``. The form for other laws is our derivation. Tuning of tau and eta is not
    part of it.

    >>> import estimlab as el
    >>> el.REBAR(temperature=0.1).claims().bounded_variance
    False
    """

    citation: ClassVar[str] = "Tucker et al. 2017, arXiv 1703.07370"

    def control(self, drawn: DrawnSite, z: Tensor, relaxed: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The relaxed objective, scaled."""
        return self.eta * relaxed


@final
@dataclass(frozen=True)
class RELAX(ConditionalControl):
    """RELAX (Grathwohl et al. 2018, arXiv 1711.00123) at given control-variate parameters.

    The control variate is ``eta f(F(z / tau)) + r(z)`` with a network r, here of one hidden layer shared by the units,
    ``r(z) = sum_units sum_h outer_h tanh(inner_h z + offset_h)``: a frozen form of our choice, as the paper's r is
    trained along. Tuning is not part of it; outer weights belong in units of the objective, and large ones harm.

    Attributes:
        temperature: tau > 0, in units of the noise's scale.
        eta: factor of the relaxed objective.
        coupling: whether z~ has noise of its own.
        hidden: triples (outer, inner, offset), one per hidden unit of r.

    >>> import estimlab as el
    >>> el.RELAX().cost(depth=2)
    Cost(forward=9, backward=9)
    """

    citation: ClassVar[str] = "Grathwohl et al. 2018, arXiv 1711.00123; frozen r of our choice"

    hidden: tuple[tuple[float, float, float], ...] = ((0.1, 1.0, 0.0),)

    def __post_init__(self) -> None:
        super().__post_init__()
        triples = isinstance(self.hidden, tuple) and all(isinstance(h, tuple) and len(h) == 3 for h in self.hidden)
        if not (triples and all(math.isfinite(number) for h in self.hidden for number in h)):
            raise EstimlabError(
                f"RELAX(hidden={self.hidden!r}): hidden is a tuple of triples (outer, inner, offset) of finite "
                "numbers, for example ((0.1, 1.0, 0.0),)."
            )

    def control(self, drawn: DrawnSite, z: Tensor, relaxed: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """The relaxed objective, scaled, plus the network of the noisy pre-activations."""
        rest = sum(outer * torch.tanh(inner * z + offset) for outer, inner, offset in self.hidden)
        return self.eta * relaxed + drawn.sum_units(torch.zeros_like(z) + rest)
