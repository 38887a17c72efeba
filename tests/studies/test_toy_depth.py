"""The toy of growing depth: quantiles with their errors, and what theory says of the estimators on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import estimlab as el
from estimlab.cells import ExactMoments, MonteCarloMoments, build
from estimlab.cells.makers import CosineChain
from estimlab.results.study import load_study

toy_depth = load_study(Path(__file__).parents[2] / "studies" / "toy_depth.py").module


@pytest.mark.parametrize("q", [0.15, 0.5, 0.85])
def test_the_error_of_a_quantile_is_its_deviation_over_samples(q, seed):
    samples = np.random.default_rng(seed).exponential(size=(2000, 256))
    values, errors = np.array([toy_depth.quantile(sample, q) for sample in samples]).T
    truth = -np.log(1 - q)
    assert np.median(errors) == pytest.approx(values.std(), rel=0.1)
    assert 0.92 < np.mean(np.abs(values - truth) < 1.96 * errors) < 0.97


def test_cosines_are_those_of_the_means_of_disjoint_draws():
    draws = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0], [-2.0, 0.0]])
    truth = np.array([3.0, 0.0])
    assert toy_depth.cosines(draws, truth, 1) == pytest.approx([1, 0, 0, 0, -1])
    assert toy_depth.cosines(draws, truth, 2) == pytest.approx([np.sqrt(0.5), 0])


def test_bands_are_quantiles_of_the_draws_that_are_measured():
    """Same seed, same draws: the mean cosine of the measurement lies within their range, and is their mean."""
    problem = CosineChain((3, 2), examples=10)
    cell = toy_depth.Bands(problem, el.ZGR(), (1,), 512)
    measured = MonteCarloMoments(problem, el.ZGR(), statistics=("mean_cosine",), draws=512).run()
    blocks, truth = cell._draws(build(problem)[0]), build(problem)[1]
    for row in measured[:2]:
        names = [name for name in blocks if name.startswith(f"stages.{row['layer']}.")]
        true = np.concatenate([truth.value[name].flatten().numpy() for name in names])
        found = toy_depth.cosines(np.concatenate([blocks[name] for name in names], 1), true, 1)
        assert found.mean() == pytest.approx(row["value"], rel=1e-9)
        band = {r["statistic"]: r["value"] for r in cell.run() if r["layer"] == row["layer"]}
        assert [band[name] for name in toy_depth.QUANTILES] == pytest.approx(np.quantile(found, [0.15, 0.5, 0.85]))


def test_the_bias_of_straight_through_grows_with_training_and_with_it_that_of_zgr():
    for estimator in toy_depth.EXACT:
        early, late = (
            {row["layer"]: row["value"] for row in ExactMoments(toy_depth.toy(n), estimator).run() if _is_bias(row)}
            for n in (20, 100)
        )
        assert all(late[layer] > 1.2 * early[layer] for layer in "012")
        assert late["head"] < 1e-12


def _is_bias(row):
    return row["statistic"] == "relative_bias"


def test_the_stage_that_stands_beside_epoch_100_has_its_expected_objective():
    (row,) = toy_depth.ExpectedObjective(toy_depth.toy(20)).run()
    assert row["value"] == pytest.approx(0.6839, abs=0.005)


def test_published_numbers_stand_beside_the_statistic_they_are_of():
    row = {"stage": "step 20", "estimator": "gumbel_softmax", "parameters": "temperature=0.1", "layer": "2"}
    assert toy_depth._published({**row, "statistic": "relative_rmse", "averaged": 1}) == 2.06
    assert toy_depth._published({**row, "statistic": "relative_rmse_of_mean", "averaged": 9000}) is None
    late = {"stage": "step 100", "estimator": "straight_through", "parameters": "proxy=derived", "layer": "0"}
    assert toy_depth._published({**late, "statistic": "relative_rmse_of_mean", "averaged": 9000}) == 0.556
    assert toy_depth._published({**late, "statistic": "relative_rmse_of_mean", "averaged": 1000}) is None
