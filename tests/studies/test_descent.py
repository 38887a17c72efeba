"""Training of several networks at once, what is measured of them, and the rank correlation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

import estimlab as el
from estimlab.cells.makers import CosineChain
from estimlab.measurement.intervals.ratios import _taus, kendall
from estimlab.randomness.noise import TorchNoise
from estimlab.results.study import load_study

DESCENT = load_study(Path(__file__).parents[2] / "studies/descent.py").module


@pytest.fixture(scope="module")
def problem():
    return CosineChain((3, 2), examples=6).build()


def test_a_stack_of_networks_is_trained_as_each_of_them_alone(problem):
    start = DESCENT._initial(problem, 4)
    cell = DESCENT.Training((3, 2), (el.ZGR(),), steps=5, learning_rates=(0.05,))

    def gradient(step, stack):
        return DESCENT._exact_gradients(problem, stack)

    together = cell._descend(start, gradient)[-1]
    for index in range(4):
        alone = cell._descend({name: value[index : index + 1] for name, value in start.items()}, gradient)[-1]
        for name, value in alone.items():
            torch.testing.assert_close(value[0], together[name][index], rtol=0, atol=1e-13)
    assert (DESCENT._objectives(problem, together) < DESCENT._objectives(problem, start)).all()


def test_every_learning_rate_is_trained_as_if_it_were_the_only_one(problem):
    start = DESCENT._initial(problem, 4)

    def gradient(step, stack):
        return DESCENT._exact_gradients(problem, stack)

    def trained(*rates):
        cell = DESCENT.Training((3, 2), (el.ZGR(),), steps=5, learning_rates=rates)
        return cell, cell._descend(start, gradient)[-1]

    cell, together = trained(0.01, 0.2)
    losses, chosen = cell._losses(problem, together)
    for number, rate in enumerate((0.01, 0.2)):
        _, alone = trained(rate)
        for name, value in cell._of_rate(together, number).items():
            torch.testing.assert_close(value, alone[name], rtol=0, atol=1e-13)
        assert losses[number] == pytest.approx(DESCENT._objectives(problem, alone))
    assert chosen == losses.mean(1).argmin() == 1


def test_mapped_draws_are_the_draws_of_each_network(problem):
    start = DESCENT._initial(problem, 4)
    found = DESCENT._sampled(problem, el.MeanField(), 4)(0, start)  # deterministic: nothing but the network matters
    for index, one in enumerate(DESCENT._problems(problem, start)):
        one.network.requires_grad_(True)
        el.MeanField().surrogate(one, TorchNoise()).mean().backward()
        for name, parameter in one.network.named_parameters():
            torch.testing.assert_close(found[name][index], parameter.grad)


def test_draws_of_other_steps_and_networks_are_others(problem):
    start = {name: value[:1].expand(4, *value.shape[1:]) for name, value in DESCENT._initial(problem, 4).items()}
    gradient = DESCENT._sampled(problem, el.DisARM(), 4)
    draws = torch.cat([gradient(step, start)["stages.0.weight"] for step in (0, 1)]).flatten(1)
    assert len(torch.unique(draws, dim=0)) == 8
    assert torch.equal(gradient(0, start)["stages.0.weight"].flatten(1), draws[:4])


def test_predictors_of_one_layer_are_those_of_the_measurement():
    problem = CosineChain((4,), examples=6).build()
    measured = el.exact_moments(problem, el.StraightThrough("identity"))
    expected = measured.statistics()["0"]
    assert DESCENT.predictors(measured) == pytest.approx([expected[name][0] for name in DESCENT.PREDICTORS])


def test_kendall_agrees_with_scipy():
    generator = np.random.default_rng(1)
    x = generator.integers(6, size=(20, 17)).astype(float)  # with ties
    y = x[0] + 2 * generator.standard_normal(17)
    expected = [scipy.stats.kendalltau(one, y).statistic for one in x]
    np.testing.assert_allclose(_taus(x, y), expected, atol=1e-12)
    z = generator.standard_normal(17)
    tau, p_value, low, high = kendall(z, y)
    exact = scipy.stats.kendalltau(z, y, method="exact")
    assert tau == pytest.approx(exact.statistic)
    assert abs(p_value - exact.pvalue) < 4 * (exact.pvalue * (1 - exact.pvalue) / 9999) ** 0.5 + 1e-4
    assert low < tau < high


def test_p_values_are_uniform_without_correlation():
    generator = np.random.default_rng(2)
    found = [kendall(*generator.standard_normal((2, 12)), resamples=199, seed=k)[1] for k in range(400)]
    rejected = sum(p <= 0.05 for p in found)
    assert scipy.stats.binomtest(rejected, 400, 0.05).pvalue > 1e-3


def test_correlations_at_a_common_rate_are_those_of_the_losses_at_that_rate():
    generator = np.random.default_rng(3)
    rows, losses, biases = [], {0.1: [], 1.0: []}, []
    for k in range(12):
        head = {"problem": "p", "estimator": f"e{k}", "parameters": "", "stage": None, "learning_rate": None}
        values = generator.random(4)
        biases.append(values[0])
        for stage in DESCENT.STAGES:
            pairs = zip(DESCENT.PREDICTORS, values, strict=True)
            rows += [{**head, "stage": stage, "statistic": name, "value": value} for name, value in pairs]
        for rate, found in losses.items():
            found.append(generator.random())
            rows.append({**head, "learning_rate": rate, "statistic": "final_objective", "value": found[-1]})
        rows.append({**head, "learning_rate": 1.0, "statistic": "excess_objective", "value": 0.0})
    exact = {"problem": "p", "estimator": "exact", "parameters": None, "stage": None, "statistic": "final_objective"}
    rows += [{**exact, "learning_rate": rate, "value": 0.0} for rate in losses]
    table = DESCENT.at_common_rates(rows)
    for rate, found in losses.items():
        taus = [
            row["value"]
            for row in table
            if (row["learning_rate"], row["predictor"], row["statistic"]) == (rate, "relative_bias", "kendall_tau")
        ]
        assert taus == pytest.approx([scipy.stats.kendalltau(biases, found).statistic] * 2)
