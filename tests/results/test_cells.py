"""Cells that measure: the statistics that are asked for, and medians over networks."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

import estimlab as el
from estimlab.cells import ExactMoments, MedianMoments, MonteCarloMoments, median_interval
from estimlab.cells.makers import CosineChain

SMALL = CosineChain((2, 2), examples=6)


@pytest.mark.parametrize("n", [1, 5, 6, 9, 12])
def test_the_interval_of_a_median_covers_as_often_as_it_says(n):
    """Each value lies below the true median or above it, like a coin: all 2^n cases."""
    low, middle, high = median_interval([float(i) for i in range(n)])
    inside = [low <= above - 0.5 <= high for above in (sum(coins) for coins in itertools.product((0, 1), repeat=n))]
    coverage = sum(inside) / 2**n
    assert middle == (n - 1) / 2
    assert coverage >= 0.95 or (low, high) == (0, n - 1)
    narrower = sum(low + 1 <= i - 0.5 <= high - 1 for i in _binomial(n)) / 2**n
    assert narrower < 0.95, "no shorter interval would do"


def _binomial(n: int) -> list[int]:
    return [k for k in range(n + 1) for _ in range(math.comb(n, k))]


def test_a_median_over_networks_is_that_of_their_exact_moments():
    chosen = ("relative_bias", "cosine")
    rows = MedianMoments(SMALL, el.StraightThrough(), (3, 4, 5), chosen).run()
    single = [ExactMoments(replace(SMALL, seed=s), el.StraightThrough(), statistics=chosen).run() for s in (3, 4, 5)]
    assert {row["statistic"] for row in rows} == set(chosen)
    for row, *like in zip(rows, *single, strict=True):
        assert (row["low"], row["value"], row["high"]) == tuple(sorted(one["value"] for one in like))
        assert all(one["layer"] == row["layer"] and one["statistic"] == row["statistic"] for one in like)
        assert row["networks"] == 3
    assert any(row["low"] < row["high"] for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(3,), (3, 4), (3, 4, 5)])
def test_a_median_over_sampled_networks_has_the_standard_error_of_the_middle(seeds):
    rows = MedianMoments(SMALL, el.Reinforce(), seeds, ("variance",), draws=512).run()
    recipes = [replace(SMALL, seed=seed) for seed in seeds]
    single = [MonteCarloMoments(r, el.Reinforce(), (), ("variance",), 512, r.seed).run() for r in recipes]
    for row, *like in zip(rows, *single, strict=True):
        ordered = sorted((one["value"], one["stderr"]) for one in like)
        middle = ordered[(len(seeds) - 1) // 2 : len(seeds) // 2 + 1]
        assert row["value"] == pytest.approx(sum(value for value, _ in middle) / len(middle), rel=1e-15)
        assert (row["stderr"], row["draws"]) == (max(error for _, error in middle), 512)
        assert row["stderr"] > 0


def test_statistics_that_are_not_asked_for_are_left_out():
    everything = ExactMoments(SMALL, el.ZGR(), (10,)).run()
    few = ExactMoments(SMALL, el.ZGR(), (10,), statistics=("variance",)).run()
    kept = ("variance", "relative_rmse_of_mean")
    assert few == [row for row in everything if row["statistic"] in kept]
