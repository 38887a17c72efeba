"""Faults that make everything else meaningless."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch

import estimlab as el
from estimlab.estimators.base import Estimator
from estimlab.estimators.rollout import log_score, rollout
from mutants.bases import Density, ValuesOnly


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

    def claims(self):
        return el.Claims(exact_degree=0, draws_states=False)

    def surrogate(self, problem, noise):
        network, carry = problem.network, problem.network.initial(problem.inputs)
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            u = noise.uniform(k, 0, site.units.law.cdf(a.detach()))
            carry = network.advance(k, carry, site.units.state(torch.sigmoid(a + torch.log(u) - torch.log1p(-u))))
        return problem.value(network.output(carry))


MUTANTS = {
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
}
