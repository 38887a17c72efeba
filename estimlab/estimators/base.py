"""What an estimator is: one draw of a gradient estimate, written as a surrogate that autograd differentiates."""

from __future__ import annotations

import abc
import importlib
import inspect
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from estimlab.declared import Declared, snake_case
from estimlab.errors import EstimlabError
from estimlab.estimators.claims import Claims, refuse_attributes
from estimlab.model.derivatives import replace_derivative
from estimlab.model.laws import NoiseLaw, PerUnit
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits
from estimlab.randomness.integrals import conditional_moments
from estimlab.randomness.noise import Noise


@dataclass(frozen=True)
class Cost:
    """Cost of one draw in layer passes: pre-activations (or heads) evaluated, and differentiated.

    >>> import estimlab as el
    >>> el.DisARM(pairs=2).cost(depth=3)
    Cost(forward=20, backward=8)
    """

    forward: int
    backward: int


@dataclass(frozen=True)
class Estimator(Declared, abc.ABC):
    """A single-sample gradient estimator.

    Attributes:
        name: snake case of the class, used in tables and on the command line.
        citation: authors, year, arXiv number, equation.
        mappable: whether ``torch.vmap`` can map the surrogate over draws; where not, draws are taken one by one.

    Errors:
        EstimlabError: a class whose body gives a claim as an attribute.
    """

    name: ClassVar[str]
    citation: ClassVar[str] = ""
    mappable: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_attributes(cls)
        if "name" not in cls.__dict__ and not isinstance(getattr(cls, "name", None), property):
            cls.name = snake_case(cls.__name__)

    @classmethod
    def choices(cls) -> list[type]:
        """The catalogue."""
        return list(importlib.import_module("estimlab.estimators").catalogue())

    @classmethod
    def called(cls) -> str:
        """What one is called in a sentence."""
        return "an estimator such as el.StraightThrough(), or its name"

    @classmethod
    def advice(cls, value: Any) -> str:
        """What to write in place of what is often given for one."""
        if isinstance(value, Problem):
            return "That is a problem: where both are given, the problem comes first."
        if isinstance(value, (list, tuple)):
            return "For several use el.measure_many(problem, [...])."
        if isinstance(value, nn.Module):
            return "Give the estimator itself; a module's is its field `estimator`."
        if inspect.isroutine(value):
            return "Make the function an estimator: el.SampledFunction(function)."
        return ""

    @abc.abstractmethod
    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """One draw.

        Its value is the objective at the drawn states, one per example; the gradient of its mean over the batch with
        respect to the network's parameters is the draw of the estimate. Pure: randomness comes through ``noise`` only.
        """

    def claims(self) -> Claims:
        """What is claimed of the gradients; by default that one layer is exact for linear objectives."""
        return Claims()

    def cost(self, depth: int) -> Cost:
        """Layer passes of one draw in a network of the given number of stochastic layers, the head counted as one."""
        return Cost(depth + 1, depth + 1)


@dataclass(frozen=True)
class ActivationEstimator(Estimator):
    """An estimator that acts unit by unit: ``activate`` maps pre-activations to states with its own backward rule.

    The surrogate is the objective of one pass, and the same code serves as a torch activation (``BinaryActivation``).
    """

    reads_uniform: ClassVar[bool]

    @property
    def extra_channels(self) -> int:
        """Further uniforms per unit that a draw takes, beside the one that decides the state; none by default."""
        return 0

    @abc.abstractmethod
    def activate(self, a: PerUnit, uniform: Float[Tensor, "..."], units: BinaryUnits) -> PerUnit:
        """The states (or relaxed states), differentiable by the estimator's rule.

        ``uniform`` has the shape of ``a``; where there are extra channels they are stacked in front, (1 + extra
        channels, \\*shape), the one that decides the state first.
        """

    def kinks(self, a: PerUnit, law: NoiseLaw) -> list[PerUnit]:
        """Uniforms, beside P(high), at which the state or its derivative jumps or has a kink; none by default.

        Of the extra channels where there are any: the first one then decides the state and nothing else.
        """
        return []

    def surrogate(self, problem: Problem, noise: Noise) -> Float[Tensor, " batch"]:
        """The objective of one pass through the network."""

        def states(k: int, a: Tensor, carry: Any) -> Tensor:
            units = problem.sites[k].units
            uniform = self._uniforms(k, a.detach(), units.law, noise)
            return self.activate(a, uniform, units)

        return problem.run(states)

    def _uniforms(self, k: int, a: Tensor, law: NoiseLaw, noise: Noise) -> Tensor:
        """What ``activate`` takes, with the cuts and the degree that a quadrature over it needs."""
        p, kinks, degree = law.cdf(a), self.kinks(a, law), math.inf if self.reads_uniform else 0
        if not self.extra_channels:
            return noise.uniform(k, 0, p, [p, *kinks], degree)
        decides = noise.uniform(k, 0, p)
        extra = [noise.uniform(k, j, p, kinks or None, degree) for j in range(1, 1 + self.extra_channels)]
        return torch.stack((decides, *extra))


@dataclass(frozen=True)
class HardForward(ActivationEstimator):
    """States are drawn; ``d state / d a`` is replaced by a local factor. One method to write: ``derivative``.

    Attributes:
        reads_uniform: whether the factor depends on the uniforms beyond the state that the first of them decides.
    """

    reads_uniform: ClassVar[bool] = False

    @abc.abstractmethod
    def derivative(self, a: PerUnit, bit: PerUnit, uniform: Float[Tensor, "..."], law: NoiseLaw) -> PerUnit:
        """The factor that stands for ``d bit / d a`` (0/1 coding); the framework multiplies it by ``high - low``.

        Args:
            a: pre-activations.
            bit: drawn state as 0.0 or 1.0.
            uniform: the uniform that decided it, ``bit = uniform < law.cdf(a)``; where there are extra channels, these
                instead, (extra channels, \\*shape).
            law: noise law of the units.
        """

    def activate(self, a: PerUnit, uniform: Float[Tensor, "..."], units: BinaryUnits) -> PerUnit:
        """The drawn states, with the factor in place of their derivative."""
        decides, reads = (uniform[0], uniform[1:]) if self.extra_channels else (uniform, uniform)
        bit = drawn_bit(decides, units.law.cdf(a.detach()))
        factor = self.derivative(a.detach(), bit, reads, units.law)
        if not isinstance(factor, Tensor) or factor.shape != a.shape:
            got = f"the shape {tuple(factor.shape)}" if isinstance(factor, Tensor) else type(factor).__name__
            raise EstimlabError(
                f"{self!r}: derivative() returned {got} for pre-activations of shape {tuple(a.shape)}: it must return "
                "a tensor of that shape, one factor per unit."
            )
        return replace_derivative(a, units.state(bit), units.gap * factor)

    def derivative_moments(
        self, a: PerUnit, law: NoiseLaw
    ) -> tuple[Float[Tensor, "2 *shape"], Float[Tensor, "2 *shape"]]:
        """Mean and second moment of the factor given the bit, for bit 0 and bit 1.

        Where the factor reads the uniform, by a double-exponential quadrature over the uniforms that lead to the bit.
        """
        if self.extra_channels:
            raise EstimlabError(f"{self!r} reads extra channels of noise: write derivative_moments() for it as well.")
        if self.reads_uniform:
            p = law.cdf(a)
            return conditional_moments(lambda bit, u: self.derivative(a, bit, u, law), p, [p, *self.kinks(a, law)])
        hidden = torch.full_like(a, math.nan)  # a factor that reads the uniform without saying so shows as NaN
        mean = torch.stack([self.derivative(a, torch.full_like(a, b), hidden, law) for b in (0.0, 1.0)])
        return mean, mean * mean


@dataclass(frozen=True)
class RelaxedForward(ActivationEstimator):
    """States are relaxed to the interval between low and high, and the objective is differentiated there."""

    reads_uniform: ClassVar[bool] = True

    def claims(self) -> Claims:
        """Nothing of the bias; states are not drawn."""
        return Claims(exact_degree=0, draws_states=False)


def drawn_bit(uniform: PerUnit, probability: PerUnit) -> PerUnit:
    """1 where ``uniform < probability``, else 0; NaN where the probability is NaN, which must not pass for a state."""
    bit = (uniform < probability).to(probability.dtype)
    return torch.where(probability.isnan(), probability, bit)


def drawn_side(a: PerUnit, bit: PerUnit) -> PerUnit:
    """``a`` where the bit is 1 and ``-a`` where it is 0, as F of it is the probability of the drawn state.

    By a product: choosing by a mask without pattern costs several passes over memory.
    """
    return a * (2 * bit - 1)
