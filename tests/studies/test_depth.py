"""Vanishing Gumbel-Softmax gradients against a closed form and plain draws; medians of attributions."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import estimlab as el
from estimlab.measurement.mapped import gradients, record
from estimlab.randomness.noise import TableNoise
from estimlab.randomness.streams import RandomStream
from estimlab.results.study import load_study

depth = load_study(Path(__file__).parents[2] / "studies" / "depth.py").module


def logistic(a):
    return 1 / (1 + math.exp(-a))


def measured(layers, temperature, **fields):
    row, limit = depth.Vanishing(layers, temperature, **fields).run()
    return row["value"], row["stderr"], limit["value"]


@pytest.mark.parametrize("temperature", [0.3, 0.03, 0.003])
def test_one_unit_has_the_closed_form(temperature):
    """|g| > c where x (1 - x) > r = c tau / 2, that is for |v| < 2 tau arcosh(1 / (2 sqrt r))."""
    value, stderr, _ = measured(1, temperature, draws=20_000)
    reach = 2 * temperature * math.acosh(1 / (2 * math.sqrt(0.01 * temperature / 2)))
    assert abs(value - (logistic(1 + reach) - logistic(1 - reach))) < 4 * stderr
    assert stderr < 0.02 * value


def test_weighted_draws_agree_with_plain_ones_and_have_the_right_mean_of_weights():
    cell = depth.Vanishing(2, 0.3, threshold=0.05, draws=20_000)
    draws, weights = cell.sample()
    assert abs(float(weights.mean()) - 1) < 4 * float(weights.std()) / len(weights) ** 0.5
    assert 0 < float(weights.min()) <= float(weights.max()) <= 4
    linear = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
    torch.nn.init.ones_(linear.weight)
    network = el.Chain([el.Logits(torch.ones(1, dtype=torch.float64)), linear])
    problem, estimator = el.Problem(network, lambda x, _: x[:, 0]), el.GumbelSoftmax(0.3)
    like = torch.empty(0, dtype=torch.float64)
    tables = RandomStream(1).tables(record(problem, estimator), 0, 20_000, like)
    plain = gradients(problem, estimator, TableNoise, tables)[0]["stages.0.logits"][:, 0]
    share, stderr = float((plain.abs() > 0.05).double().mean()), 0.5 / 20_000**0.5
    value, own, _ = measured(2, 0.3, threshold=0.05, draws=20_000)
    assert abs(value - share) < 4 * math.hypot(stderr, own)
    moment, plain_moment = float((draws * weights).mean()), float(plain.mean())
    error = math.hypot(float((draws * weights).std()), float(plain.std())) / 20_000**0.5
    assert abs(moment - plain_moment) < 4 * error


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_probability_tends_to_its_asymptote(layers):
    distances = []
    for temperature in (0.3, 0.01, 1e-5):
        value, stderr, limit = measured(layers, temperature, draws=50_000)
        distances.append(abs(value / limit - 1) - 3 * stderr / limit)
    assert distances[2] < 0.1
    assert distances[2] < distances[0]


def test_a_median_of_attributions_is_that_of_single_networks():
    cell = depth.MedianAttribution(depth.DeepChain(2), el.StraightThrough(), (0, 1, 2))
    row = next(row for row in cell.run() if (row["layer"], row["source"]) == ("0", "1"))
    values = []
    for seed in (0, 1, 2):
        attribution = el.attribute_bias(depth.DeepChain(2, 0, seed).build(), el.StraightThrough())
        part = torch.cat([attribution.contributions[1][f"stages.0.{name}"].flatten() for name in ("weight", "bias")])
        truth = torch.cat([attribution.reference[f"stages.0.{name}"].flatten() for name in ("weight", "bias")])
        values.append(float(part.norm() / truth.norm()))
    assert [row["low"], row["value"], row["high"]] == pytest.approx(sorted(values), rel=1e-12)
