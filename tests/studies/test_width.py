"""The exponents of the width study: their fit, and the biases of widths whose variance is not computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from estimlab.results.study import load_study

width = load_study(Path(__file__).parents[2] / "studies" / "width.py").module


def test_the_fit_is_that_of_scipy_and_finds_a_power():
    generator = np.random.default_rng(0)
    x = np.repeat([2.0, 4.0, 8.0, 16.0], 5)
    y = 3 * x**-0.7 * np.exp(0.1 * generator.normal(size=len(x)))
    slope, stderr, reach = width.exponent_of(list(zip(x, y, strict=True)))
    expected = stats.linregress(np.log(x), np.log(y))
    assert (slope, stderr) == pytest.approx((expected.slope, expected.stderr), rel=1e-12)
    assert reach == pytest.approx(stats.t.ppf(0.975, 18) * stderr, rel=1e-12)
    assert abs(slope + 0.7) < reach


def test_intervals_cover_as_often_as_they_say():
    generator, x = np.random.default_rng(1), np.repeat([4.0, 6.0, 8.0, 12.0], 3)
    covered = 0
    for _ in range(2000):
        y = x**-0.5 * np.exp(generator.normal(size=len(x)))
        slope, _, reach = width.exponent_of(list(zip(x, y, strict=True)))
        covered += abs(slope + 0.5) < reach
    assert stats.binomtest(covered, 2000, 0.95).pvalue > 1e-3


@pytest.mark.slow
def test_a_width_without_variances_has_the_same_bias_and_cosine():
    networks = [(width, seed) for width in (4, 5) for seed in (0, 1)]
    full, bias = (
        [row for one in networks for row in width.Network(2, *one, variance_to=to, draws=512).run()] for to in (5, 0)
    )

    def values(rows):
        exact = [row for row in [*rows, *width.fits(rows)] if row["method"] == "exact"]
        return {(r["estimator"], r["layer"], r["width"], r["seed"], r["statistic"]): r["value"] for r in exact}

    everything, few = values(full), values(bias)
    assert len(few) == 4 * 4 * 2 * 2 + 4 * 2  # networks, estimators, layers, two statistics; and the fits of the bias
    assert few == pytest.approx({key: everything[key] for key in few}, rel=1e-9)


def test_the_fits_keep_stages_apart_and_leave_narrow_networks_out():
    def row(stage, units, value):
        named = {"estimator": "zgr", "layer": "0", "statistic": "relative_bias", "method": "exact", "seed": 0}
        return {**named, "stage": stage, "width": units, "value": value}

    rows = [row("a", n, n**-0.5) for n in (4, 8, 16)] + [row("b", n, 3.0 * n) for n in (4, 8, 16)] + [row("a", 2, 99.0)]
    found = {one["stage"]: one for one in width.fits(rows)}
    assert found["a"]["value"] == pytest.approx(-0.5)
    assert found["b"]["value"] == pytest.approx(1.0)
    assert {one["statistic"] for one in found.values()} == {"relative_bias_exponent"}
