"""The crossover of equal cost: its algebra, its interval, and how cost is counted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import estimlab as el
from estimlab.measurement.counting import count_work
from estimlab.measurement.intervals import fieller
from estimlab.results.study import load_study

BUDGET = load_study(Path(__file__).parents[2] / "studies/budget.py").module


def moments(estimator, bias, variance, cost, unbiased=False):
    return BUDGET.Moments(estimator, "0", bias, variance, dict.fromkeys(BUDGET.UNITS, cost), unbiased)


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
    one = moments(
        el.GumbelSoftmax(0.5),
        *(tuple(part / square for part in statistics[name]) for name in ("squared_bias", "variance")),
        1.0,
    )
    assert one.error_of_mean(7.0)[0] == pytest.approx(measured.rmse_of_mean(7)["0"][0])


@pytest.mark.parametrize(("a", "b"), [((3.0, 0.4), (1.0, 0.2)), ((-2.0, 1.0), (5.0, 1.0)), ((0.0, 1.0), (1.0, 0.4))])
def test_fieller_intervals_cover_as_often_as_they_say(a, b):
    generator, trials = np.random.default_rng(0), 10_000
    pairs = zip(generator.normal(*a, trials), generator.normal(*b, trials), strict=True)
    found = [fieller((x, a[1]), (y, b[1])) for x, y in pairs]
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
