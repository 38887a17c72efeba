"""Moments by the law of a sum against enumeration, exactness by degree of the objective, and published numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import estimlab as el
from estimlab.results.study import load_study

curvature = load_study(Path(__file__).parents[2] / "studies" / "curvature.py").module


@pytest.mark.parametrize("kind", ["power 1.5", "power 2", "power 3"])
@pytest.mark.parametrize("estimator", curvature.EXACT, ids=lambda e: e.name)
def test_moments_by_the_law_of_the_sum_are_those_of_enumeration(kind, estimator):
    problem = curvature.RandomBits(kind, 7, seed=3).build()
    by_sum = curvature.PowerOfMany(curvature.RandomBits(kind, 7), estimator, (3,)).moments(problem)
    exact = el.exact_moments(problem, estimator)
    (name,) = exact.mean
    for ours, theirs in (
        (by_sum.mean, exact.mean),
        (by_sum.variance, exact.variance),
        (by_sum.reference, exact.reference),
    ):
        assert torch.allclose(ours, theirs[name], rtol=1e-11, atol=1e-15)
    assert float(by_sum.variance.min()) > 0


def test_the_law_of_the_others_leaves_one_out():
    high = torch.tensor([0.2, 0.7, 0.5], dtype=torch.float64)
    law = curvature.law_of_the_others(high)
    assert torch.allclose(law.sum(1), torch.ones(3, dtype=torch.float64))
    assert law[0].tolist() == pytest.approx([0.3 * 0.5, 0.5, 0.7 * 0.5])
    assert (law @ torch.arange(3.0, dtype=torch.float64)).tolist() == pytest.approx([1.2, 0.7, 0.9])


def bias(kind, estimator, units=5):
    problem = curvature.RandomBits(kind, units, seed=1).build()
    statistics = el.exact_moments(problem, estimator).statistics()["0"]
    return statistics["relative_bias"][0], statistics["scale_invariant_bias"][0]


def test_products_are_exact_for_every_weight_and_quadratics_for_one_half():
    for estimator in (el.StraightThrough(), el.DARN("mean"), el.ZGR(), el.MVE(1.0)):
        assert bias("multilinear", estimator)[0] < 1e-13
    assert bias("quadratic", el.ZGR())[0] < 1e-13
    straight, darn, mve = (bias("quadratic", e)[0] for e in (el.StraightThrough(), el.DARN("mean"), el.MVE(1.0)))
    assert straight == pytest.approx(darn, rel=1e-12)
    assert 0.01 < mve < straight
    for kind in ("power 3", "exponential"):
        assert 1e-4 < bias(kind, el.ZGR())[0] < bias(kind, el.StraightThrough())[0]


def test_the_quadratic_is_the_published_protocol():
    problem = curvature.RandomBits("quadratic", 4, seed=2).build()
    matrix = torch.tensor(problem.objective.matrix, dtype=torch.float64)
    assert torch.allclose(matrix, matrix.T)
    assert float(torch.linalg.eigvalsh(matrix).min()) > -1e-12
    assert (problem.sites[0].units.low, problem.sites[0].units.high) == (0.0, 1.0)


@pytest.mark.parametrize("claim", curvature.claims(), ids=lambda c: f"{c.problem.name} {c.estimator!r}")
def test_published_numbers_are_ours_to_the_last_digit_printed(claim):
    (row,) = claim.run()
    assert row["value"] == pytest.approx(row["published"], abs=6e-6)
