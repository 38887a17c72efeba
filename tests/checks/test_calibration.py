"""The statistics behind gates and intervals: right ones are calibrated, and wrong ones are found out."""

import math
from pathlib import Path

import pandas as pd
import pytest
import scipy.stats
import torch

import estimlab as el
from estimlab.cells.makers import Bits
from estimlab.cells.simulation import GROUPS, Light, Relaxed, simulate
from estimlab.checks.gates import gate, holm, mean_gate, variance_gate
from estimlab.measurement.intervals.bias import MeanError, squared_bias_interval
from estimlab.measurement.statistics import jackknife_errors, squared_bias, variance

TABLE = Path(__file__).parents[2] / "studies" / "tables" / "calibration.csv"
DRAWS, REPLICATIONS = 512, 2000
NORMAL = Light("normal")
ZERO = torch.zeros(3, dtype=torch.float64)


@pytest.fixture(scope="module")
def runs():
    return simulate(NORMAL, ZERO, DRAWS, REPLICATIONS, seed=5)


def coverage(value, stderr, truth):
    return float(((value - truth).abs() <= scipy.stats.t(GROUPS - 1).ppf(0.975) * stderr).double().mean())


def passes(rate, level=0.95):
    """Two-sided binomial test at one in a thousand."""
    return scipy.stats.binomtest(round(rate * REPLICATIONS), REPLICATIONS, level).pvalue > 1e-3


def test_intervals_of_the_variance_cover_and_wrong_ones_do_not(runs):
    found, stderr = variance(runs.whole), jackknife_errors(variance(runs.left_out))
    assert passes(coverage(found, stderr, 3.0))
    of_the_deviation = jackknife_errors(variance(runs.left_out).sqrt())
    assert not passes(coverage(found, of_the_deviation, 3.0))
    assert not passes(coverage(found / DRAWS, stderr / DRAWS, 3.0))


def test_the_squared_bias_is_debiased_and_a_plain_one_is_found_out(runs):
    whole = runs.whole
    plain = ((whole.mean - runs.reference) ** 2).sum(-1)
    for values, right in ((squared_bias(whole), True), (plain, False)):
        z = float(values.mean() / values.std() * math.sqrt(REPLICATIONS))
        assert (abs(z) < scipy.stats.norm.isf(5e-4)) == right


@pytest.mark.parametrize("size", [0.0, 1.0, 3.0, 10.0])
def test_intervals_of_the_squared_bias_cover(size):
    bias = torch.tensor([0.6, -0.8, 0.0], dtype=torch.float64) * size / math.sqrt(DRAWS)
    low, high = squared_bias_interval(simulate(NORMAL, bias, DRAWS, REPLICATIONS, seed=6).mean_error())
    truth = float(bias @ bias)
    rate = float(((low <= truth * (1 + 1e-9)) & (truth <= high)).double().mean())
    assert rate >= 0.94 - 3 * math.sqrt(0.95 * 0.05 / REPLICATIONS)
    if size > 0:
        assert passes(rate)


@pytest.mark.parametrize(("coordinate", "least", "most"), [(1, 0.955, 0.99), (2, 0.905, 0.945)])
def test_unequal_deviations_cover_as_documented(coordinate, least, most):
    """One standard error along a quieter coordinate and along the noisiest, where the direction must be estimated."""
    toy = Light("normal", (1.0, 2.0, 4.0))
    bias = torch.zeros(3, dtype=torch.float64)
    bias[coordinate] = toy.deviations[coordinate] / math.sqrt(DRAWS)
    low, high = squared_bias_interval(simulate(toy, bias, DRAWS, REPLICATIONS, seed=6).mean_error())
    truth = float(bias @ bias)
    assert least < float(((low <= truth) & (truth <= high)).double().mean()) < most


def test_the_interval_is_the_inversion_of_the_noncentral_chi_square():
    number = torch.tensor(7.3, dtype=torch.float64)
    error = MeanError(number * 0.25, number.new_tensor(3 * 0.25), number.new_tensor(3 * 0.25**2), number * 0 + 0.25)
    low, high = squared_bias_interval(error)
    assert scipy.stats.ncx2.cdf(7.3, 3, float(high) / 0.25) == pytest.approx(0.025, abs=1e-6)
    assert float(low) == 0  # 7.3 is within the central 95 % of a chi-square with three degrees of freedom
    low, _ = squared_bias_interval(MeanError(number * 4, *(number.new_tensor(x) for x in (0.75, 0.1875, 0.25))))
    assert scipy.stats.ncx2.cdf(7.3 * 16, 3, float(low) / 0.25) == pytest.approx(0.975, abs=1e-6)


def test_exact_moments_have_an_interval_of_one_point():
    measured = el.exact_moments(el.problems.load("quadratic/v1"), el.StraightThrough())
    (value, _) = measured.statistics()["0"]["squared_bias"]
    assert measured.squared_bias_interval()["0"] == (value, value)
    assert measured.heavy_tailed() == {"0": False}


def test_few_draws_that_carry_the_variance_are_flagged():
    bits = Bits("bits", el.Multilinear(((1.0, (0,)),)), (0.7,))
    tau = 0.002
    heavy, light = (el.measure(bits.build(), el.STGumbelSoftmax(t), draws=512) for t in (tau, 1.0))
    assert heavy.heavy_tailed() == {"0": True}
    assert heavy.statistics()["0"]["heavy_tailed"] == (1.0, 0.0)
    assert light.heavy_tailed() == {"0": False}
    assert "heavy_tailed" not in light.statistics()["0"]
    low, high = light.squared_bias_interval()["0"]
    assert 0 <= low < light.bias["stages.0.logits"].square().sum() < high


def test_holm_by_hand():
    p = torch.tensor([0.01, 0.02, 0.03, 0.005], dtype=torch.float64)
    assert holm(p).tolist() == pytest.approx([0.03, 0.04, 0.04, 0.02])


def test_a_gate_without_noise_admits_rounding_only():
    z, p = gate(torch.tensor([1e-15, 1e-8]).double(), torch.zeros(2).double())
    assert abs(float(z[0])) < 1
    assert float(p[1]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("divisor", [1.0, 1.1, 4096.0**2])
def test_the_variance_gate_rejects_a_variance_that_was_divided(divisor):
    problem = Bits("bits", el.Quadratic(), (0.7, -0.4)).build()
    exact = el.exact_moments(problem, el.ZGR())
    measured = el.measure(problem, el.ZGR(), draws=1 << 16)
    value = exact.statistics()["0"]["variance"][0]
    assert variance_gate(measured, {"0": value * divisor}).rejects == (divisor > 1)
    assert not mean_gate(measured, exact.mean).rejects
    assert mean_gate(measured, {name: 1.05 * mean for name, mean in exact.mean.items()}).rejects


def test_the_toys_have_the_moments_they_say():
    for toy in (NORMAL, Light("uniform", (1.0, 2.0)), Light("two points"), Relaxed(0.5)):
        whole = simulate(toy, torch.zeros(1), 64 * 64, 64, seed=1).whole
        mean, spread = toy.moments()
        assert torch.allclose(whole.mean.mean(0), mean, atol=5 * float((spread.max() / 64**3).sqrt()))
        assert torch.allclose(whole.variance.mean(0), spread, rtol=0.02)


# ---- the table of the full study


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(TABLE)


def test_every_gate_passes_the_binomial_test_over_two_thousand_seeds(table):
    p = table[table["statistic"] == "binomial_p"]
    assert set(p["quantity"]) == {"mean", "variance", "squared bias", "mean, family"}
    assert set(p["replications"]) == {2000}
    assert p["value"].min() > 0.05 / len(p)
    assert p[p["level"] >= 0.01]["value"].min() > 0.01


def test_intervals_cover_on_light_tails(table):
    rows = table[(table["statistic"] == "coverage") & ~table["problem"].str.startswith("Gumbel")]
    assert set(rows["replications"]) == {10_000}
    plain = rows[rows["quantity"].isin(["mean", "variance", "mse"])]
    assert plain["value"].between(0.94, 0.96).all()
    square = rows[rows["quantity"] == "squared bias"]
    assert {0.0, 1.0, 3.0, 10.0} <= set(square["effect"])
    assert square["value"].min() >= 0.94


def test_heavy_tails_cover_nine_tenths_or_are_flagged(table):
    rows = table[table["problem"].str.startswith("Gumbel")]
    wide = rows.pivot(index="problem", columns="quantity", values="value")
    bad = wide[["mean", "variance", "mse", "squared bias"]].min(axis=1) < 0.9
    assert bad.sum() >= 2
    assert wide.loc[bad, "heavy tails"].min() > 0.99


def test_power_follows_normal_theory(table):
    rows = table[(table["statistic"] == "rejection_rate") & (table["problem"] == "normal")]
    assert rows["theory"].notna().all()
    assert (rows["value"] - rows["theory"]).abs().max() < 0.04
