"""One layer and single draws, as tests of score-function estimators take them."""

import itertools

import networks
import pytest
import torch

import estimlab as el
from estimlab.measurement.mapped import gradients, record
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.quadrature import QuadratureGrid

LAWS = [law(1.7) for law in networks.LAWS]
SMOOTH = [law(1.3) for law in networks.SMOOTH_LAWS]
every_law = pytest.mark.parametrize("law", LAWS, ids=repr)
VALUES = (0.6, -0.9)
NAME = "stages.0.logits"
ROUNDING = 1e-12  # sums of up to some thousand terms in float64
UNIFORMS = list(itertools.product((0.05, 0.4, 0.7, 0.95), repeat=2))


def objective(output, target):
    """Values that are multiples of 1/8 on 0/1 states, so that adding a constant rounds nothing."""
    return output @ output.new_tensor([0.5, -1.25]) + 0.375 * output[:, 0] * output[:, 1]


def one_layer(law=None, f=objective, values=VALUES, coding=(0.0, 1.0)):
    return el.Problem(networks.logits(values, law or el.Logistic(), *coding), f)


def draw(problem, estimator, *uniforms):
    """One draw of a single layer; a row of uniforms per channel."""
    tables = {(0, channel): torch.tensor([row], dtype=torch.float64) for channel, row in enumerate(uniforms)}
    return networks.draw_of(problem, estimator, TableNoise(tables))[NAME]


def parts(law, uniforms):
    """Value and score of the states that the uniforms decide."""
    a = torch.tensor(VALUES, dtype=torch.float64)
    p = law.cdf(a)
    bits = torch.tensor(uniforms, dtype=torch.float64) < p
    score = torch.where(bits, law.density(a) / p, -law.density(a) / (1 - p))
    return float(objective(bits.double()[None], None)), score


def relative_bias(measured):
    return max(float(b.norm() / measured.reference[name].norm()) for name, b in measured.bias.items())


def all_moments(problem, estimator):
    """Mean over all joint nodes of the noise of all examples at once, as shared sites need."""
    grid = QuadratureGrid(record(problem, estimator))
    draws, weights = gradients(problem, estimator, grid.noise, grid.digits(0, grid.size))
    return {name: torch.tensordot(weights, block, 1) for name, block in draws.items()}
