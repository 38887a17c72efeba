"""The gradient of saturated units against sums in fifty digits: layerwise enumeration and paths."""

from __future__ import annotations

from itertools import product

import mpmath as mp
import networks
import numpy as np
import pytest
import torch

import estimlab as el

mp.mp.dps = 50
ROUNDING = 2.0**-52
LEVELS = [0.0, 7.0, 18.9, 38.0, 184.0, 690.0]  # P(rarer state) from 1/2 down to 1e-300


def problem(level, widths):
    network = networks.mlp((1, *widths), 1, seed=4, scale=0.5)
    with torch.no_grad():
        network.stages[0].bias[0] = -level
        network.stages[-1].bias[1] = level
    return el.Problem(network, lambda output, target: output[:, 0] ** 2, networks.normal(2, 1, 1))


def exact(tensor):
    return np.vectorize(mp.mpf, otypes=[object])(tensor.detach().numpy())


def chance(a):
    return 1 / (1 + mp.exp(-a))


def weight(a, bits):
    return mp.fprod(chance(x) if bit else chance(-x) for x, bit in zip(a, bits, strict=True))


def value(layers, head, state):
    """The expected objective given a state, layer above layer."""
    if not layers:
        return (head[0] @ state + head[1])[0] ** 2
    a = layers[0][0] @ state + layers[0][1]
    codes = product((0, 1), repeat=len(a))
    return mp.fsum(weight(a, bits) * value(layers[1:], head, 2 * np.array(bits) - mp.mpf(1)) for bits in codes)


def by_hand(one):
    """Derivative by the biases of the first stage, F' of each, and the largest objective at a state."""
    network = one.network
    layers, head = (
        [(exact(s.weight), exact(s.bias)) for s in network.stages],
        [exact(p) for p in network.head.parameters()],
    )
    a = layers[0][0] @ exact(one.inputs[0]) + layers[0][1]
    slopes, gradient = [chance(x) * chance(-x) for x in a], []
    for i in range(len(a)):
        sides = [mp.mpf(0), mp.mpf(0)]
        for bits in product((0, 1), repeat=len(a)):
            others = [(x, b) for j, (x, b) in enumerate(zip(a, bits, strict=True)) if j != i]
            state = 2 * np.array(bits) - mp.mpf(1)
            sides[bits[i]] += weight(*zip(*others, strict=True)) * value(layers[1:], head, state)
        gradient.append(slopes[i] * (sides[1] - sides[0]))
    states = product((-1, 1), repeat=head[0].shape[1])
    return gradient, slopes, max(value([], head, np.array(s) * mp.mpf(1)) for s in states)


def assert_digits(reference, widths, smallest_slope):
    for level in LEVELS:
        one = problem(level, widths)
        found = reference.gradient(one).value["stages.0.bias"].tolist()
        gradient, slopes, largest = by_hand(one)
        for got, true, slope in zip(found, gradient, slopes, strict=True):
            # a pre-activation is rounded to its own size, and its probability by as much
            values = 50 * sum(widths) * max(slope, smallest_slope) * largest
            assert abs(mp.mpf(got) - true) <= ROUNDING * ((50 + 4 * level) * abs(true) + values)


@pytest.mark.parametrize("widths", [(2,), (2, 2), (3, 2, 2)], ids=str)
def test_the_gradient_of_a_rare_state_keeps_its_digits(widths):
    """Each derivative is F'(a) times a difference of values: its error is F' times the rounding of the values.

    Of a unit of probability 1e-300 the relative error is as small as that of any other; only values that differ by
    less than their rounding, because all above is saturated, cannot be told apart.
    """
    assert_digits(el.LayerwiseEnumeration(), widths, 0)


@pytest.mark.parametrize("widths", [(2,), (2, 2)], ids=str)
def test_that_of_paths_keeps_those_of_the_largest_value(widths):
    """The sum over all paths is differentiated as it is: its error is that of values of one path, with no F' before."""
    assert_digits(el.PathEnumeration(), widths, 1)
