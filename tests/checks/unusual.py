"""Estimators that are right, each in a way that a judge might not expect."""

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

import torch
from mutants.bases import Density, Scored, ValuesOnly, Written, score_of

import estimlab as el
from estimlab.estimators.average import mean_of_draws
from estimlab.estimators.base import Cost, Estimator, HardForward, replace_derivative
from estimlab.estimators.rollout import log_score, rollout
from estimlab.randomness.noise import TableNoise


@dataclass(frozen=True)
class SummedOut(ValuesOnly):
    """REINFORCE below; the last layer, for which no noise is asked, is summed over all its states."""

    def claims(self):
        return replace(super().claims(), draws_states=False)

    def cost(self, depth):
        return Cost(depth + 4, depth + 4)  # of layers of two units

    def surrogate(self, problem, noise):
        network, carry = problem.network, problem.network.initial(problem.inputs)
        score = 0.0
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            p = site.units.law.cdf(a)
            if k == len(problem.sites) - 1:
                value = self.expected(problem, network, site, p.flatten(1))
                return value + value.detach() * (score - (score.detach() if k else 0.0))
            bit = noise.uniform(k, 0, p.detach()) < p.detach()
            weight = torch.where(bit, site.units.law.score(a.detach()), -site.units.law.score(-a.detach()))
            score = score + (weight * a).flatten(1).sum(1)
            carry = network.advance(k, carry, site.units.state(bit.to(a.dtype)))

    def expected(self, problem, network, site, p):
        bits = torch.tensor(list(product((0.0, 1.0), repeat=site.size)), dtype=p.dtype)
        total = 0.0
        for row in bits:
            states = site.units.state(row).expand_as(p).reshape(len(p), *site.shape)
            total = total + torch.where(row > 0, p, 1 - p).prod(1) * problem.value(network.output(states))
        return total


@dataclass(frozen=True)
class LinearControl(Scored):
    """A control variate ``c x`` in each layer, whose mean's derivative is known: ``c gap F'``."""

    strength: float = 0.7

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        linear = value.detach() * log_score(layers)
        for layer in layers:
            a, units = layer.a.detach(), layer.site.units
            known = self.strength * units.gap * layer.law.density(a)
            guess = layer.sum_units(self.strength * layer.state)
            linear = linear + layer.sum_units(known * layer.a) - guess * layer.sum_units(layer.score * layer.a)
        return value + linear - linear.detach()


@dataclass(frozen=True)
class Pair(ValuesOnly):
    """REINFORCE with u and with 1 - u, averaged."""

    def cost(self, depth):
        return Cost(2 * depth + 2, 2 * depth + 2)

    def surrogate(self, problem, noise):
        tables = {}
        for k, site in enumerate(problem.sites):
            shape = site.shape if site.shared else (problem.batch, *site.shape)
            like = torch.zeros(shape, dtype=problem.dtype)
            # where a draw jumps is known only along the pass: nothing is said of it
            tables[k, 0] = noise.uniform(k, 0, like + 0.5, degree=math.nan)
        value, layers = rollout(problem, TableNoise(tables))
        other, twins = rollout(problem, TableNoise({key: 1 - table for key, table in tables.items()}))
        linear = (value.detach() * log_score(layers) + other.detach() * log_score(twins)) / 2
        direct = (value + other) / 2
        return value.detach() + linear + direct - (linear + direct).detach()


@dataclass(frozen=True)
class FirstUnitSummed(ValuesOnly):
    """The first unit of the last layer by both its values, all others by their score."""

    def cost(self, depth):
        return Cost(depth + 2, depth + 1)

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        last = layers[-1]
        first = torch.zeros(last.site.size, dtype=torch.bool)
        first[0] = True
        first = first.reshape(last.site.shape)
        flipped = last.site.units.state((last.bit ^ first).to(last.a.dtype))
        other = problem.value(problem.network.output(flipped)).detach()
        shape = (-1, *[1] * len(last.site.shape))
        gain = (value.detach() - other).reshape(shape)
        summed = last.towards(gain * last.law.density(last.a.detach()))
        scored = value.detach().reshape(shape) * last.score
        linear = last.sum_units(torch.where(first, summed, scored) * last.a)
        if len(layers) > 1:
            linear = linear + value.detach() * log_score(layers[:-1])
        return value + linear - linear.detach()


@dataclass(frozen=True)
class Mixture(HardForward):
    """A mix of straight-through and ZGR, by a field that a user tunes."""

    parts: tuple[float, ...] = (0.25, 0.75)

    def derivative(self, a, bit, uniform, law):
        st, zgr = self.parts
        return st * law.density(a) + zgr * el.ZGR().derivative(a, bit, uniform, law)


@dataclass(frozen=True)
class ImportanceSampled(ValuesOnly):
    """States from ``q = p / 2 + 1 / 4``, weighted by p / q."""

    def claims(self):
        return replace(super().claims(), draws_states=False)

    def surrogate(self, problem, noise):
        network, carry = problem.network, problem.network.initial(problem.inputs)
        score, weight = 0.0, 1.0
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            law, p = site.units.law, site.units.law.cdf(a.detach())
            q = p / 2 + 0.25
            bit = noise.uniform(k, 0, p, [q]) < q
            weight = weight * torch.where(bit, p / q, law.cdf(-a.detach()) / (1 - q)).flatten(1).prod(1)
            term = torch.where(bit, law.score(a.detach()), -law.score(-a.detach()))
            score = score + (term * a).flatten(1).sum(1)
            carry = network.advance(k, carry, site.units.state(bit.to(a.dtype)))
        value = weight * problem.value(network.output(carry))
        return value + value.detach() * (score - score.detach())


@dataclass(frozen=True)
class OtherChannel(ValuesOnly):
    """Everything from channel 7."""

    def claims(self):
        return replace(super().claims(), draws_states=False)

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise, channel=7)
        linear = value.detach() * log_score(layers)
        return value + linear - linear.detach()


@dataclass(frozen=True)
class Averaged(Estimator):
    """The mean of three draws of ZGR."""

    def claims(self):
        return el.Claims(exact_degree=2)

    def cost(self, depth):
        return Cost(3 * depth + 3, 3 * depth + 3)

    def surrogate(self, problem, noise):
        return mean_of_draws(el.ZGR().surrogate, problem, noise, 3)


class _Straight(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a, uniform, p, slope, low, gap):
        return low + gap * (uniform < p).to(a.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[3])
        ctx.gap = inputs[5]

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.gap * ctx.saved_tensors[0], None, None, None, None, None


@dataclass(frozen=True)
class OwnFunction(Estimator):
    """Straight-through as a torch.autograd.Function."""

    def surrogate(self, problem, noise):
        network, carry = problem.network, problem.network.initial(problem.inputs)
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            units, fixed = site.units, a.detach()
            p = units.law.cdf(fixed)
            uniform, slope = noise.uniform(k, 0, p), units.law.density(fixed)
            carry = network.advance(k, carry, _Straight.apply(a, uniform, p, slope, units.low, units.gap))
        return problem.value(network.output(carry))


@dataclass(frozen=True)
class DoubleInside(HardForward):
    """The factor in float64, whatever the network."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a.double()).to(a.dtype)


@dataclass(frozen=True)
class OfProbability(HardForward):
    """``p (1 - p) / scale``; refuses what is not logistic."""

    def derivative(self, a, bit, uniform, law):
        if not isinstance(law, el.Logistic):
            raise el.EstimlabError("OfProbability serves logistic units only.")
        p = law.cdf(a)
        return p * (1 - p) / law.scale


@dataclass(frozen=True)
class ByAutograd(HardForward):
    """The density as the derivative of the distribution function, taken by torch."""

    def derivative(self, a, bit, uniform, law):
        return torch.func.grad(lambda z: law.cdf(z).sum())(a)


@dataclass(frozen=True)
class OneByOne(Density):
    """A Python branch on a tensor, so that draws are taken one by one."""

    mappable: ClassVar[bool] = False

    def derivative(self, a, bit, uniform, law):
        return law.density(a) if float(bit.sum()) > 0 else law.density(a).clone()


@dataclass(frozen=True)
class CornerBaseline(Scored):
    """The baseline is the value at all units low."""

    def cost(self, depth):
        return Cost(depth + 2, depth + 1)

    def reward(self, problem, layers, value):
        low = torch.full_like(layers[-1].a.detach(), layers[-1].site.units.low)
        return value - problem.value(problem.network.output(low)).detach()


@dataclass(frozen=True)
class BaselineOfInputs(Scored):
    """A baseline that is a function of the input."""

    def reward(self, problem, layers, value):
        return value - (0.3 if problem.inputs is None else 0.3 * problem.inputs.flatten(1).sum(1))


@dataclass(frozen=True)
class RandomScale(Written):
    """Straight-through times a number of mean one from a channel of its own, one for each example."""

    def surrogate(self, problem, noise):
        found = super().surrogate(problem, noise)
        scale = 2 * noise.uniform(0, 3, torch.full_like(found.detach(), 0.5), degree=1)
        return found.detach() + scale * (found - found.detach())


@dataclass(frozen=True)
class CentredScore(Scored):
    """Score less a number that has no mean: the score of another draw, times a constant."""

    def surrogate(self, problem, noise):
        value, layers = rollout(problem, noise)
        _, others = rollout(problem, noise, channel=1)
        linear = value.detach() * log_score(layers) - 0.5 * log_score(others)
        return value + linear - linear.detach()

    def cost(self, depth):
        return Cost(2 * depth + 2, 2 * depth + 1)


@dataclass(frozen=True)
class MeanState(Estimator):
    """The network of mean states: one layer is exact for multilinear objectives, and nothing is drawn."""

    def claims(self):
        return el.Claims(draws_states=False, deterministic=True)

    def surrogate(self, problem, noise):
        network, carry = problem.network, problem.network.initial(problem.inputs)
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            p = site.units.law.cdf(a.detach())
            states = replace_derivative(a, site.units.state(p), site.units.gap * site.units.law.density(a.detach()))
            noise.uniform(k, 0, p, [])
            carry = network.advance(k, carry, states)
        return problem.value(network.output(carry))


@dataclass(frozen=True)
class HalfOfZGR(HardForward):
    """ZGR's mean from its conditional halves: claims what ZGR does."""

    def claims(self):
        return el.Claims(exact_degree=2)

    def derivative(self, a, bit, uniform, law):
        return torch.where(bit > 0.5, law.score(a), law.score(-a)) / 2


@dataclass(frozen=True)
class LastLayerOnly(Scored):
    """Local in the last layer, nothing below: says so."""

    def claims(self):
        return replace(super().claims(), unbiased="last layer")

    def score(self, problem, layers):
        zero = 0.0 * log_score(layers)
        return zero + score_of(layers[-1:], lambda k, layer: layer.score)


RIGHT = {
    "the last layer summed out": SummedOut(),
    "leave-one-out of three": el.ReinforceLOO(3),
    "a control variate of known mean": LinearControl(),
    "an antithetic pair": Pair(),
    "one unit summed out": FirstUnitSummed(),
    "a mix by a field": Mixture(),
    "importance sampling": ImportanceSampled(),
    "another channel": OtherChannel(),
    "a mean of draws": Averaged(),
    "an autograd function": OwnFunction(),
    "float64 inside": DoubleInside(),
    "p (1 - p), logistic alone": OfProbability(),
    "a density by autograd": ByAutograd(),
    "one draw after the other": OneByOne(),
    "a baseline at a corner": CornerBaseline(),
    "a baseline of the input": BaselineOfInputs(),
    "a random scale": RandomScale(),
    "another draw's score": CentredScore(),
    "mean states": MeanState(),
    "halves of ZGR": HalfOfZGR(),
    "the last layer alone": LastLayerOnly(),
}
