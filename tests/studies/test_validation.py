"""The statistics of the validation study: Kendall's tau against SciPy's, its chance interval, and what is left out."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from estimlab.results.study import load_study


@pytest.fixture(scope="module")
def study():
    return load_study("validation").module


def rows(x, y, problem="digits-early/v1"):
    """Rows of a table: ``x[k]`` of estimator k in the small, ``y[seed][k]`` its training loss."""
    small = [
        {"problem": problem, "layer": "0", "statistic": name, "estimator": f"e{k}", "parameters": "", "value": value}
        for name in ("relative_bias", "relative_std", "relative_rmse")
        for k, value in enumerate(x)
    ]
    runs = [
        {"recipe": "r", "seed": seed, "statistic": name, "estimator": f"e{k}", "parameters": "", "value": value}
        for seed, values in enumerate(y)
        for name in ("train_loss", "accuracy_of_draw", "training_std")
        for k, value in enumerate(values)
    ]
    return small + runs


def found(study, x, y, outcome="train_loss"):
    table = pd.DataFrame(study.associations(rows(x, y)))
    return table[(table["predictor"] == "relative_std") & (table["outcome"] == outcome)].iloc[0]


@pytest.mark.slow
def test_tau_is_scipys_averaged_over_seeds(study):
    numbers = np.random.default_rng(0)
    x, y = numbers.integers(0, 6, 15).astype(float) + 1, numbers.integers(0, 6, (3, 15)).astype(float)
    expected = np.mean([stats.kendalltau(x, values).statistic for values in y])
    assert found(study, x, y)["value"] == pytest.approx(expected, abs=1e-12)
    assert found(study, x, y, "error")["value"] == pytest.approx(-expected, abs=1e-12)


def test_the_interval_covers_what_chance_makes(study):
    """Against the exact standard deviation of tau without ties and without dependence, one seed."""
    n, numbers = 18, np.random.default_rng(1)
    one = found(study, numbers.random(n), numbers.random((1, n)))
    expected = 1.96 * np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))
    assert one["chance_high"] == pytest.approx(expected, rel=0.1)
    assert one["chance_low"] == pytest.approx(-expected, rel=0.1)


@pytest.mark.slow
def test_seeds_that_agree_do_not_narrow_the_interval(study):
    """A statistic in the small does not depend on the seed: three equal seeds are one observation."""
    numbers = np.random.default_rng(2)
    x, y = numbers.random(12), numbers.random((1, 12))
    one, three = found(study, x, y), found(study, x, np.repeat(y, 3, 0))
    names = ("value", "chance_low", "chance_high")
    assert [one[name] for name in names] == [three[name] for name in names]


def test_an_estimator_whose_run_stopped_is_left_out(study):
    table = rows(np.arange(1.0, 6), np.arange(5.0)[None])
    table = [row for row in table if not (row.get("recipe") and row["estimator"] == "e2")]
    assert {row["estimators"] for row in study.associations(table)} == {4}


def test_means_over_seeds_carry_the_standard_error_of_the_mean():
    means = load_study("training_digits").module.means
    head = {
        "recipe": "digits",
        "estimator": "zgr",
        "parameters": "",
        "epoch": 3,
        "statistic": "accuracy_of_draw",
        "stderr": 0.0,
    }
    (one,) = means([{**head, "seed": seed, "value": value} for seed, value in enumerate((0.7, 0.8, 0.9))])
    assert one["value"] == pytest.approx(0.8)
    assert one["stderr"] == pytest.approx(0.1 / 3**0.5)
    assert one["seed"] is None
