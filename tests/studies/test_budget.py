"""The crossover of equal cost: its algebra, its interval, and how cost is counted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import estimlab as el
from estimlab.measurement.counting import count_work
from estimlab.measurement.intervals.ratios import fieller
from estimlab.measurement.statistics import jackknife
from estimlab.results.study import load_study

STATISTICS = ("squared_bias", "variance")
BUDGET = load_study(Path(__file__).parents[2] / "studies/budget.py").module


def moments(estimator, bias, variance, cost, unbiased=False):
    """With independent errors."""
    (bias, b), (variance, v) = bias, variance
    estimates = BUDGET.Estimate(bias, np.array([b, 0.0])), BUDGET.Estimate(variance, np.array([0.0, v]))
    return BUDGET.Moments(estimator, "0", *estimates, dict.fromkeys(BUDGET.UNITS, cost), unbiased, estimates[1].value)


def test_at_the_crossover_both_means_have_the_same_error():
    biased = moments(el.StraightThrough(), (0.04, 0.0), (1.5, 0.0), 2.0)
    unbiased = moments(el.DisARM(), (0.9, 0.5), (60.0, 0.0), 5.0, unbiased=True)  # what was measured does not count
    rows = {row["statistic"]: row for row in BUDGET._crossovers(biased, [biased, unbiased])}
    budget, draws = (rows[name]["value"] for name in ("crossover_budget", "crossover_draws"))
    assert budget == pytest.approx((60 * 5 - 1.5 * 2) / 0.04)
    assert budget == pytest.approx(draws * 5)
    errors = [one.error_of_mean(budget / 2 if one is biased else budget / 5)[0] for one in (biased, unbiased)]
    assert errors[0] == pytest.approx(errors[1])
    assert biased.error_of_mean(1e12)[0] == pytest.approx(0.2)


def test_the_error_of_the_mean_is_that_of_the_measurement():
    problem = el.problems.load("toy-late/v1").example(3)
    measured = el.measure(problem, el.GumbelSoftmax(0.5), draws=512)
    statistics = measured.statistics()["0"]
    square = statistics["reference_norm"][0] ** 2
    estimates = [BUDGET._mean([measured], "0", name) for name in STATISTICS]
    assert [one.stderr * square for one in estimates] == pytest.approx([statistics[n][1] for n in STATISTICS])
    one = BUDGET.Moments(el.GumbelSoftmax(0.5), "0", *estimates, {}, unbiased=False, pilot=0.0)
    for draws in (1.0, 7.0, 100.0):
        assert one.error_of_mean(draws) == pytest.approx(measured.rmse_of_mean(draws)["0"], rel=0.02)


def test_errors_of_one_set_of_draws_are_joined_with_their_covariance():
    """By the jackknife of what is a sum or a difference, which knows of no covariance."""
    problem = el.problems.load("toy-late/v1").example(3)
    relaxed, pathwise = (el.measure(problem, e, draws=2048) for e in (el.GumbelSoftmax(0.5), el.DisARM()))
    bias, variance, other = (
        BUDGET._mean([one], "0", name)
        for one, name in ((relaxed, "squared_bias"), (relaxed, "variance"), (pathwise, "variance"))
    )
    square = relaxed.statistics()["0"]["reference_norm"][0] ** 2
    assert (bias + variance).stderr * square == pytest.approx(relaxed.statistics()["0"]["mse"][1])
    apart = (pathwise.replicates("variance")["0"] - relaxed.replicates("variance")["0"]).numpy() / square
    assert (other + variance * -1).stderr == pytest.approx(jackknife(torch.from_numpy(apart)))
    independent = math.hypot(bias.stderr, variance.stderr)
    assert abs((bias + variance).stderr / independent - 1) > 0.05


def test_examples_that_are_measured_apart_add_their_errors_in_quadrature():
    problem = el.problems.load("toy-late/v1")
    found = [el.measure(problem.example(k), el.GumbelSoftmax(0.5), draws=512, seed=k) for k in (1, 2)]
    found_exactly = [el.exact_moments(problem.example(k), el.ZGR()) for k in (1, 2)]
    rows = [one.statistics()["0"] for one in found]
    square = sum(row["reference_norm"][0] ** 2 for row in rows)
    mean, exact = BUDGET._mean(found, "0", "variance"), BUDGET._mean(found_exactly, "0", "variance")
    assert mean.value == pytest.approx(sum(row["variance"][0] for row in rows) / square)
    assert mean.stderr == pytest.approx(math.hypot(*(row["variance"][1] for row in rows)) / square)
    assert exact.stderr == 0
    assert (mean + exact).stderr == mean.stderr


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.8, -0.8])
@pytest.mark.parametrize(("a", "b"), [((3.0, 0.4), (1.0, 0.2)), ((-2.0, 1.0), (5.0, 1.0)), ((0.0, 1.0), (1.0, 0.4))])
def test_fieller_intervals_cover_as_often_as_they_say(a, b, correlation):
    generator, trials = np.random.default_rng(0), 10_000
    covariance = correlation * a[1] * b[1]
    pairs = generator.multivariate_normal((a[0], b[0]), [[a[1] ** 2, covariance], [covariance, b[1] ** 2]], trials)
    found = [fieller((x, a[1]), (y, b[1]), covariance) for x, y in pairs]
    # Where the denominator may be zero everything is included, which covers more often than the exact set does.
    bounded = [one for one in found if math.isfinite(one.low)]
    missed = sum(not one.low <= a[0] / b[0] <= one.high for one in bounded)
    expected = 0.05 * trials
    assert missed < expected + 4 * math.sqrt(expected)
    if len(bounded) > 0.99 * trials:
        assert missed > expected - 4 * math.sqrt(expected)


def test_every_fork_is_counted():
    problem = el.problems.load("digits-late/v1")  # two layers of ten units
    objective = {name: count_work(problem, one).objective for name, one in {
        "st": el.StraightThrough(), "disarm": el.DisARM(), "psa": el.PSA(), "local": el.LocalExpectation(),
    }.items()}  # fmt: skip
    assert objective == {"st": 1.0, "disarm": 3.0, "psa": 11.0, "local": 21.0}
    work = count_work(problem, el.LocalExpectation())
    assert (work.forward, work.backward) == (3 + 10 + 2 * 10, 3.0)  # ten forks go through the second layer
