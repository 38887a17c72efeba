"""A target ignored or changed, a reward clipped, values read off the corners."""

from dataclasses import dataclass

import torch

import estimlab as el
from estimlab.estimators.rollout import rollout
from mutants.bases import DEGREE, Scored, ValuesOnly, Written


@dataclass(frozen=True)
class WithTarget(Scored):
    """The reward at another target."""

    def reward(self, problem, layers, value):
        if problem.targets is None:
            return value
        output = problem.network.output(layers[-1].state).detach()
        return problem.objective(output, self.target(problem.targets))


@dataclass(frozen=True)
class NoTarget(WithTarget):
    def target(self, targets):
        return torch.zeros_like(targets)


@dataclass(frozen=True)
class MinusTarget(WithTarget):
    def target(self, targets):
        return -targets


@dataclass(frozen=True)
class RoundedTarget(WithTarget):
    """Targets taken for classes."""

    def target(self, targets):
        return targets.round()


@dataclass(frozen=True)
class ClippedTarget(WithTarget):
    def target(self, targets):
        return targets.clamp(-0.6, 0.6)


@dataclass(frozen=True)
class ValueWithoutTarget(Written):
    """The objective of a target of zero, and the value of the right one."""

    def value(self, problem, output):
        if problem.targets is None:
            return problem.value(output)
        other = problem.objective(output, torch.zeros_like(problem.targets))
        return problem.value(output).detach() + other - other.detach()


@dataclass(frozen=True)
class OtherValue(Written):
    """The objective of a doubled target, in value and gradient."""

    def value(self, problem, output):
        return problem.objective(output, None if problem.targets is None else 2 * problem.targets)


@dataclass(frozen=True)
class IgnoredTarget(Written):
    """A target of zero, in value and gradient."""

    def claims(self):
        return el.Claims(exact_degree=0, draws_states=False)

    def value(self, problem, output):
        return problem.objective(output, None if problem.targets is None else 0 * problem.targets)


@dataclass(frozen=True)
class ClippedReward(Scored):
    def reward(self, problem, layers, value):
        return value.clamp(-10, 10)


@dataclass(frozen=True)
class SquashedReward(Scored):
    def reward(self, problem, layers, value):
        return torch.where(value > 30, 30 + 50 * torch.tanh((value - 30) / 50), value)


@dataclass(frozen=True)
class LogReward(Scored):
    """Rewards above one in logarithms."""

    def reward(self, problem, layers, value):
        return torch.where(value > 20, 20 + torch.log(value.clamp(min=20) / 20), value)


@dataclass(frozen=True)
class MiddleBaseline(ValuesOnly):
    """A baseline at the probabilities, between the corners: right in the mean, but not of values alone."""

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        last = layers[-1]
        middle = last.site.units.state(last.law.cdf(last.a.detach()))
        baseline = problem.value(problem.network.output(middle)).detach()
        score = last.sum_units(last.score * last.a)
        if len(layers) > 1:
            score = score + sum(one.sum_units(one.score * one.a) for one in layers[:-1])
        linear = (value.detach() - baseline) * score
        return value + linear - linear.detach()


STATES = "visits the network's states"
CAUSED = {
    "a reward without target": (NoTarget(), DEGREE + "2", "a target", "target"),
    "a reward of minus the target": (MinusTarget(), DEGREE + "2", "a target", "target"),
    "a target rounded": (RoundedTarget(), DEGREE + "2", "a target", "target"),
    "a target clipped": (ClippedTarget(), DEGREE + "2", "a target", "target"),
    "a gradient without target": (ValueWithoutTarget(), "exact at the head", "a target", "target"),
    "a target doubled": (OtherValue(), STATES, "a target", "target"),
    "no target at all": (IgnoredTarget(), "every layer and target counts", "does not depend on the target", "target"),
    "a clipped reward": (ClippedReward(), DEGREE + "1", "100", "objective"),
    "a squashed reward": (SquashedReward(), DEGREE + "1", "100", "objective"),
    "a reward in logarithms": (LogReward(), DEGREE + "1", "100", "objective"),
    "a baseline off the corners": (MiddleBaseline(), "reads values only", "zero on the corners", "objective"),
}
