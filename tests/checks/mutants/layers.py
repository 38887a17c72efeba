"""A layer skipped, or treated as another one."""

from dataclasses import dataclass

import torch

from mutants.bases import ALL, COUNTS, DEGREE, Density, Scored, Written, weighted_score


@dataclass(frozen=True)
class LastScore(Scored):
    """The score of the last layer alone."""

    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: float(k == len(layers) - 1))


@dataclass(frozen=True)
class TwoScores(Scored):
    """Written for two layers."""

    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: float(k < 2))


@dataclass(frozen=True)
class OverDepth(Scored):
    """A mean over the layers."""

    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: 1 / len(layers))


@dataclass(frozen=True)
class Discounted(Scored):
    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: 0.9 ** (len(layers) - 1 - k))


@dataclass(frozen=True)
class FirstTwice(Scored):
    """The first layer in the sum and before it."""

    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: 2.0 if k == 0 and len(layers) > 1 else 1.0)


@dataclass(frozen=True)
class ThirdScaled(Scored):
    """A list of coefficients that ends too early."""

    def score(self, problem, layers):
        return weighted_score(layers, lambda k, layer: (1.0, 1.0, 0.5)[k])


@dataclass(frozen=True)
class StopsBelow(Written):
    """The states of the first layer are detached in a deep network."""

    def factor(self, k, a, units, problem):
        last = k == len(problem.sites) - 1
        return super().factor(k, a, units, problem) * float(last)


@dataclass(frozen=True)
class Headless(Written):
    """The output detached but for the states: no gradient for the head."""

    def value(self, problem, output):
        found = problem.value(output)
        head = [p for name, p in problem.network.named_parameters() if name.startswith("head")]
        if not head:
            return found
        gradients = torch.autograd.grad(found.sum(), head, create_graph=False, retain_graph=True)
        lost = sum((g * (p - p.detach())).sum() for g, p in zip(gradients, head, strict=True))
        return found - lost


@dataclass(frozen=True)
class SecondLayerTwice(Density):
    """A pass of its own, which applies the factor twice from the second layer on."""

    def surrogate(self, problem, noise):
        network, carry = problem.network, problem.network.initial(problem.inputs)
        for k, site in enumerate(problem.sites):
            a, carry = network.preactivation(k, carry)
            uniform = noise.uniform(k, 0, site.units.law.cdf(a.detach()))
            state = self.activate(a, uniform, site.units)
            state = state if k == 0 else state.detach() + 2 * (state - state.detach())
            carry = network.advance(k, carry, state)
        return problem.value(network.output(carry))


CAUSED = {
    "the score of the last layer": (LastScore(), COUNTS, "stages.0.* gets no gradient", "layer"),
    "the scores of two layers": (TwoScores(), COUNTS, "stages.2.* gets no gradient", "layer"),
    "a mean over layers": (OverDepth(), ALL, "layers", "layer"),
    "a discount over layers": (Discounted(), ALL, "layers", "layer"),
    "the first layer twice": (FirstTwice(), ALL, "layers", "layer"),
    "a third layer at half": (ThirdScaled(), ALL, "3 layers", "layer"),
    "states detached below": (StopsBelow(), COUNTS, "stages.0.* gets no gradient", "layer"),
    "no gradient for the head": (Headless(), COUNTS, "head.* gets no gradient", "layer"),
    "the factor twice from layer two on": (SecondLayerTwice(), DEGREE + "1", "2 layers", "layer"),
    "another factor in layer two": (SecondLayerTwice(), "exact moments", "2 layers", "layer"),
}
