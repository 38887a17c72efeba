"""Networks with memory, shared weights and convolutions, on which the Monte Carlo reference is tested."""

import networks
import torch
from scipy import stats
from torch import nn

import estimlab as el

FAMILY_WISE = 1e-3


class Spiking(el.StochasticNetwork):
    """Two steps of leaky membranes with one weight: the carry is real-valued and depends on the parameters."""

    def __init__(self):
        super().__init__()
        self.first, self.recurrent, self.head = nn.Linear(2, 2), nn.Linear(2, 2, bias=False), nn.Linear(2, 3)
        self.leak = nn.Parameter(torch.tensor([0.3, 0.6]))

    def sites(self, inputs):
        return (el.Site((2,), el.BinaryUnits(el.Gaussian(), 0.0, 1.0)),) * 2

    def initial(self, inputs):
        return {"current": self.first(inputs), "membrane": torch.zeros_like(inputs), "spikes": torch.zeros_like(inputs)}

    def preactivation(self, k, carry):
        membrane = self.leak * carry["membrane"] + carry["current"] + self.recurrent(carry["spikes"])
        return membrane - 0.5, {**carry, "membrane": membrane}

    def advance(self, k, carry, state):
        return {**carry, "membrane": carry["membrane"] - state, "spikes": state}

    def output(self, carry):
        return self.head(carry["membrane"] + carry["spikes"])


class SampledWeights(el.StochasticNetwork):
    """Weights of +-1 that all examples share, then 0/1 units of each example (or, sampled last, the weights alone)."""

    def __init__(self, units=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 2))
        self.head, self.units = nn.Linear(1, 3), units

    def sites(self, inputs):
        weights = el.Site((1, 2), el.BinaryUnits(), shared=True)
        return (weights, el.Site((1,), el.BinaryUnits(el.Triangular(3.0), 0.0, 1.0)))[: 1 + self.units]

    def initial(self, inputs):
        return inputs

    def preactivation(self, k, carry):
        return (self.weight, carry) if k == 0 else (carry, carry)

    def advance(self, k, carry, state):
        return carry @ state.T if k == 0 else state

    def output(self, carry):
        return self.head(carry)


def problem_of(network, batch=1, seed=3):
    """Cross-entropy of three classes on two inputs."""
    targets = torch.arange(batch) % 3
    return el.Problem(
        networks.fill(network, seed, 0.7), el.CrossEntropy(), networks.normal(seed + 1, batch, 2), targets
    )


def chain(widths, law, coding, batch=1, seed=0):
    return networks.classification(widths, batch, seed, units=el.BinaryUnits(law, *coding), scale=0.8)


def convolution(batch=2):
    """A Conv2d stage with batch norm, then a linear stage."""
    stages = [networks.Convolution(3, 1), nn.Sequential(nn.Flatten(), nn.Linear(2, 2))]
    network = el.Chain(stages, nn.Linear(2, 3), [el.BinaryUnits(el.Gaussian(1.4)), el.BinaryUnits(el.Uniform(3.0))])
    targets = torch.arange(batch) % 3
    return el.Problem(networks.fill(network, 5, 0.8), el.CrossEntropy(), networks.normal(6, batch, 3), targets)


def truth_of(problem):
    return el.PathEnumeration().gradient(problem)


def scores(gradient, truth):
    """z of every coordinate; one that does not vary between draws may differ from the truth by rounding only."""
    difference, stderr = networks.flat(gradient.value) - networks.flat(truth), networks.flat(gradient.stderr)
    return difference / stderr.clamp(min=1e-13)


def agrees(z, tests=1):
    """All coordinates within the two-sided normal quantile, family-wise over the coordinates of so many tests."""
    return bool((z.abs() < stats.norm.isf(FAMILY_WISE / (2 * tests * len(z)))).all())
