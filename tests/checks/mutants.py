"""Estimators that are wrong in one way each, and the check that must say so."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from unittest import mock

import numpy as np
import torch

import estimlab as el
from estimlab.estimators import local_expectation, psa
from estimlab.estimators.arm import Mirrored
from estimlab.estimators.average import mean_of_draws
from estimlab.estimators.base import Cost, Estimator, HardForward, RelaxedForward
from estimlab.estimators.rollout import log_score, rollout

DEGREE = "exact within one layer, degree "


@dataclass(frozen=True)
class ValuesOnly(Estimator):
    """Claims everything that REINFORCE does."""

    exact_degree: ClassVar[float] = math.inf
    unbiased: ClassVar[Literal["all layers"]] = "all layers"
    reads_extension: ClassVar[bool] = False


@dataclass(frozen=True)
class Density(HardForward):
    """Straight-through; claims to be exact for linear objectives by default."""

    factor: float = 1.0

    def derivative(self, a, bit, uniform, law):
        return self.factor * law.density(a)


# ---- wrong expectations


@dataclass(frozen=True)
class FlippedARM(Mirrored):
    degree: ClassVar[float] = 1

    def coefficient(self, a, uniform, law):
        return (uniform - 0.5) * law.log_odds_slope(a)


@dataclass(frozen=True)
class EqualStatesDisARM(Mirrored):
    """The indicator of equal states instead of different ones."""

    def coefficient(self, a, uniform, law):
        p = law.cdf(a)
        high, twin = uniform < p, uniform > 1 - p
        return torch.where(high == twin, torch.where(high, 1, -1), 0) * law.score(-a.abs()) / 2


@dataclass(frozen=True)
class OtherScoreDisARM(Mirrored):
    """sigmoid(-|a|) instead of sigmoid(|a|)."""

    def coefficient(self, a, uniform, law):
        p = law.cdf(a)
        sign = (uniform < p).to(a.dtype) - (uniform > 1 - p).to(a.dtype)
        return sign * law.score(a.abs()) / 2


@dataclass(frozen=True)
class MismatchedARM(Mirrored):
    """The twin is drawn with u < 1 - p, not with 1 - u < p."""

    degree: ClassVar[float] = 1

    def coefficient(self, a, uniform, law):
        return (0.5 - uniform) * law.log_odds_slope(a)

    def draw_twins(self, k, a, uniform, law, noise):
        return [(uniform < 1 - law.cdf(a), self.coefficient(a, uniform, law))]


@dataclass(frozen=True)
class SelfishReinforce(ValuesOnly):
    """A baseline that reads the drawn states."""

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        baseline = 0.3 * layers[0].bit.to(value.dtype).flatten(1)[:, 0]
        linear = (value.detach() - baseline) * log_score(layers)
        return value + linear - linear.detach()


@dataclass(frozen=True)
class InclusiveLOO(ValuesOnly):
    """The sample itself is part of its baseline's mean."""

    def cost(self, depth):
        return Cost(2 * (depth + 1), 2 * (depth + 1))

    def surrogate(self, problem, noise):
        passes = [rollout(problem, noise, channel) for channel in range(2)]
        mean = sum(value.detach() for value, _ in passes) / 2
        total = sum(value + (value.detach() - mean) * log_score(layers) for value, layers in passes) / 2
        return passes[0][0].detach() + (total - total.detach())


@dataclass(frozen=True)
class SwappedZGR(HardForward):
    exact_degree: ClassVar[float] = 2

    def derivative(self, a, bit, uniform, law):
        return law.score(torch.where(bit > 0.5, -a, a)) / 2


@dataclass(frozen=True)
class HalvedReinMax(HardForward):
    """2 J((p + b) / 2) - J(p) in place of - J(p) / 2."""

    exact_degree: ClassVar[float] = 2

    def derivative(self, a, bit, uniform, law):
        q = (law.cdf(a) + bit) / 2
        return law.log_odds_slope(a) * 2 * q * (1 - q) - law.density(a)


@dataclass(frozen=True)
class WrongMeanDARN(HardForward):
    """DARN with the mean p where 1/2 makes quadratics exact."""

    exact_degree: ClassVar[float] = 2

    def derivative(self, a, bit, uniform, law):
        p = law.cdf(a)
        return (bit - p) * (bit - p) * law.log_odds_slope(a)


@dataclass(frozen=True)
class MissingUnit(ValuesOnly):
    """Local expectation that leaves out the last unit of every layer."""

    def cost(self, depth):
        return el.LocalExpectation().cost(depth)

    def surrogate(self, problem, noise):
        flip = local_expectation._flip

        def forget_last(problem, k, carry, bit):
            same = problem.network.advance(k, carry, problem.sites[k].units.state(bit.to(problem.dtype)))
            return torch.cat((flip(problem, k, carry, bit)[:-1], same[None]))

        with mock.patch.object(local_expectation, "_flip", forget_last):
            return el.LocalExpectation().surrogate(problem, noise)


@dataclass(frozen=True)
class WrongFlip(Estimator):
    """PSA with all units of the last layer flipped at once."""

    exact_degree: ClassVar[float] = math.inf
    unbiased: ClassVar[Literal["last layer"]] = "last layer"
    reads_extension: ClassVar[bool] = False

    def cost(self, depth):
        return Cost(depth + 2, depth + 2)

    def surrogate(self, problem, noise):
        def flip_all(problem, last):
            states = last.site.units.state((~last.bit).to(last.a.dtype))
            value = problem.value(problem.network.output(states))
            return value[:, None].expand(-1, last.site.size)

        with mock.patch.object(psa, "_flipped_values", flip_all):
            return el.PSA().surrogate(problem, noise)


@dataclass(frozen=True)
class WrongSideGumbelRao(el.GumbelRao):
    """The conditional noise of the state that was not drawn."""

    def derivative(self, a, bit, uniform, law):
        return super().derivative(a, 1 - bit, uniform, law)


@dataclass(frozen=True)
class BoastfulRelaxation(Estimator):
    """The mean of six straight-through Gumbel-Softmax draws, said to be exact: out of the reach of quadrature."""

    draws_states: ClassVar[bool] = False  # the head is not in question

    def cost(self, depth):
        return Cost(6 * (depth + 1), 6 * (depth + 1))

    def surrogate(self, problem, noise):
        return mean_of_draws(el.STGumbelSoftmax(1.0).surrogate, problem, noise, 6)


@dataclass(frozen=True)
class BoastfulZGR(el.ZGR):
    """ZGR that claims to be unbiased in all layers."""

    unbiased: ClassVar[Literal["all layers"]] = "all layers"


# ---- faults


@dataclass(frozen=True)
class Crashing(Density):
    def derivative(self, a, bit, uniform, law):
        return law.density(a) * self.width


@dataclass(frozen=True)
class Detached(Estimator):
    def surrogate(self, problem, noise):
        return el.StraightThrough().surrogate(problem, noise).detach()


@dataclass(frozen=True)
class Averaged(Estimator):
    """The mean over the batch is taken inside."""

    def surrogate(self, problem, noise):
        return el.StraightThrough().surrogate(problem, noise).mean()


@dataclass(frozen=True)
class Doubled(Estimator):
    """float64 whatever the network."""

    def surrogate(self, problem, noise):
        return el.StraightThrough().surrogate(problem, noise).double()


@dataclass(frozen=True)
class NotANumber(Density):
    """A logarithm of the difference of state and probability."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a) + 0 * torch.log(bit - law.cdf(a))


@dataclass(frozen=True)
class Torch(Density):
    def derivative(self, a, bit, uniform, law):
        return law.density(a) * (0.5 + torch.rand_like(a))


@dataclass(frozen=True)
class NumPy(Density):
    def derivative(self, a, bit, uniform, law):
        return law.density(a) * 2 * np.random.random()  # noqa: NPY002 - this is the fault


@dataclass(frozen=True)
class OwnGenerator(Density):
    def derivative(self, a, bit, uniform, law):
        return law.density(a) * 2 * np.random.default_rng().random()


@dataclass(frozen=True)
class RunningBaseline(ValuesOnly):
    """Keeps an average of the values on itself."""

    seen: list = field(default_factory=list, compare=False)

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        baseline = sum(self.seen) / max(len(self.seen), 1)
        self.seen.append(value.detach().mean())
        linear = (value.detach() - baseline) * log_score(layers)
        return value + linear - linear.detach()


_COUNT = [0]


@dataclass(frozen=True)
class HiddenState(Density):
    """Counts its calls in a variable of its module."""

    def derivative(self, a, bit, uniform, law):
        _COUNT[0] += 1
        return law.density(a) / _COUNT[0]


@dataclass(frozen=True)
class ClassState(Density):
    calls: ClassVar[int] = 0

    def derivative(self, a, bit, uniform, law):
        type(self).calls += 1
        return law.density(a)


@dataclass(frozen=True)
class Clipping(Estimator):
    """Clamps the weights in place."""

    def surrogate(self, problem, noise):
        with torch.no_grad():
            for parameter in problem.network.parameters():
                parameter.clamp_(-0.5, 0.5)
        return el.StraightThrough().surrogate(problem, noise)


@dataclass(frozen=True)
class Accumulating(Estimator):
    """Calls backward() itself."""

    def surrogate(self, problem, noise):
        value = el.StraightThrough().surrogate(problem, noise)
        value.sum().backward(retain_graph=True)
        return value


@dataclass(frozen=True)
class BatchBaseline(ValuesOnly):
    """The mean of the batch as baseline: every draw depends on all others."""

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        linear = (value.detach() - value.detach().mean()) * log_score(layers)
        return value + linear - linear.detach()


@dataclass(frozen=True)
class Branching(Density):
    """A Python `if` on a tensor."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a) if float(bit.flatten()[0]) > 0.5 else law.density(a) / 2


@dataclass(frozen=True)
class Undeclared(Estimator):
    """Relaxed states whose noise is said to matter only at P(high)."""

    exact_degree: ClassVar[float] = 0
    draws_states: ClassVar[bool] = False

    def surrogate(self, problem, noise):
        network, carry = problem.network, problem.network.initial(problem.inputs)
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            u = noise.uniform(k, 0, site.units.law.cdf(a.detach()))
            carry = network.advance(k, carry, site.units.state(torch.sigmoid(a + torch.log(u) - torch.log1p(-u))))
        return problem.value(network.output(carry))


# ---- broken contracts


@dataclass(frozen=True)
class Overflowing(Density):
    """The score as a quotient: zero by zero where a unit is certain."""

    def derivative(self, a, bit, uniform, law):
        p = torch.exp(law.log_cdf(a))
        return law.density(a) * (p * (1 - p)) / (p * (1 - p))


@dataclass(frozen=True)
class Upwards(RelaxedForward):
    """High where u > 1 - p: the right law, other states than everybody else's."""

    draws_states: ClassVar[bool] = True
    reads_uniform: ClassVar[bool] = False
    exact_degree: ClassVar[float] = 1

    def kinks(self, a, law):
        return [1 - law.cdf(a)]

    def activate(self, a, uniform, units):
        p = units.law.cdf(a)
        bit = (uniform > 1 - p).to(a.dtype)
        return units.state(bit + p - p.detach())


@dataclass(frozen=True)
class Understated(Density):
    def cost(self, depth):
        return Cost(depth, depth + 1)


class Undecorated(Density):
    """A subclass whose new field is none, as @dataclass(frozen=True) is missing."""

    width: float = 2.0


@dataclass(frozen=True)
class Listed(Density):
    """A list as a field: no hash."""

    widths: list = field(default_factory=lambda: [1.0])


@dataclass(frozen=True)
class Differentiating(el.StraightThrough):
    reads_extension: ClassVar[bool] = False


@dataclass(frozen=True)
class WrongSecondMoment(el.ZGR):
    def derivative_moments(self, a, law):
        mean, second = super().derivative_moments(a, law)
        return mean, 1.1 * second


# name: the estimator, the check that must refute it first, and what must be said
MUTANTS = {
    "ARM with its sign flipped": (FlippedARM(), DEGREE + "1", r"-1\.0000 x the true gradient"),
    "ARM with another twin": (MismatchedARM(), DEGREE + "1", "x"),
    "DisARM with the indicator of equal states": (EqualStatesDisARM(), DEGREE + "1", "x"),
    "DisARM with the other score": (OtherScoreDisARM(), DEGREE + "1", "x"),
    "ST x 2": (Density(2.0), DEGREE + "1", r"2\.0000 x the true gradient"),
    "ST x 1.05": (Density(1.05), DEGREE + "1", r"1\.0500 x the true gradient"),
    "ST x -1": (Density(-1.0), DEGREE + "1", r"-1\.0000 x the true gradient"),
    "REINFORCE, baseline of the drawn state": (SelfishReinforce(), DEGREE + "1", "x"),
    "REINFORCE-LOO with its own sample": (InclusiveLOO(), DEGREE + "1", r"0\.5000 x the true gradient"),
    "ZGR with p and 1 - p swapped": (SwappedZGR(), DEGREE + "1", "x"),
    "ReinMax with a wrong factor": (HalvedReinMax(), DEGREE + "1", "x"),
    "DARN with a wrong mean": (WrongMeanDARN(), DEGREE + "2", "x"),
    "local expectation without one unit": (MissingUnit(), DEGREE + "1", r"0\.0* to"),
    "PSA with a wrong flip": (WrongFlip(), "exact at the head", r"2, 2 units"),
    "Gumbel-Rao, noise of the other side": (WrongSideGumbelRao(samples=2), "exact moments", "recursion"),
    "six relaxed draws said to be exact": (BoastfulRelaxation(), DEGREE + "1", r"z = -?\d"),
    "ZGR said to be unbiased": (BoastfulZGR(), "unbiased in all layers", "relative bias"),
    "crashes": (Crashing(), "runs", r"AttributeError.*width.*line \d+.*law\.density\(a\) \* self\.width"),
    "detaches": (Detached(), "runs", "detaches"),
    "averages inside": (Averaged(), "one value per example", r"\(\) for 3 examples"),
    "another floating type": (Doubled(), "type of the network", "float32.*float64"),
    "NaN": (NotANumber(), "finite", r"stages\.0\.weight: NaN"),
    "torch's generator": (Torch(), "no global randomness", r"\(torch\)"),
    "NumPy's generator": (NumPy(), "no global randomness", r"\(numpy\)"),
    "a generator of its own": (OwnGenerator(), "no state between calls", "a source other than"),
    "state on itself": (RunningBaseline(), "no state between calls", "a draw changes self.seen"),
    "state in its module": (HiddenState(), "no state between calls", "outside the estimator"),
    "state in its class": (ClassState(), "no state between calls", "ClassState.calls"),
    "changes parameters": (Clipping(), "changes nothing", r"stages\.0\.weight"),
    "fills .grad": (Accumulating(), "changes nothing", r"\.grad"),
    "a baseline across draws": (BatchBaseline(), "draw i depends on noise i only", "draw 0 .* noise of draw 2"),
    "branches on a tensor": (Branching(), "draws can be mapped", "torch.where instead of"),
    "undeclared noise": (Undeclared(), "noise is declared as it is used", "standard errors from the integral"),
    "zero by zero where certain": (Overflowing(), "finite where units are certain", "40 and -40"),
    "other states than channel 0 decides": (Upwards(), "visits the network's states", "u < F"),
    "a wrong cost": (Understated(), "declared cost = counted cost", "declared .* counted"),
    "not a dataclass": (Undecorated(), "is a value", "frozen=True"),
    "a list as a field": (Listed(), "is a value", "unhashable"),
    "differentiates what it says it does not": (Differentiating(), "reads values only", "reads_extension"),
    "a wrong second moment": (WrongSecondMoment(), "exact moments", "variance"),
}
