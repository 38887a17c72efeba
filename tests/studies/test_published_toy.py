"""How a published number is compared with ours: its digits, its error, and the committed table."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from estimlab.results.study import load_study
from estimlab.results.table import read_table

TABLE = Path(__file__).parents[2] / "studies/tables/published_toy.csv"
toy = load_study(Path(__file__).parents[2] / "studies/published_toy.py").module


def row(**changes):
    plain = {"estimator": "arm", "parameters": "tails=independent", "layer": "1", "statistic": toy.ONE, "averaged": 1}
    return plain | changes


def test_every_published_number_is_found_by_layer_and_statistic_and_no_other_row_has_one():
    assert toy.published(row(), toy.PUBLISHED) == "2.54"
    assert toy.published(row(layer="head"), toy.PUBLISHED) is None
    assert toy.published(row(statistic=toy.MEAN, averaged=9000), toy.PUBLISHED) is None
    relaxed = {"estimator": "gumbel_softmax", "statistic": toy.MEAN, "averaged": 9000, "layer": "0"}
    assert toy.published(row(**relaxed, parameters="temperature=1.0"), toy.PUBLISHED) == "0.300"
    assert toy.published(row(**relaxed, parameters="temperature=0.1"), toy.PUBLISHED) is None


def test_the_error_of_a_published_number_is_that_of_its_digits_and_of_9000_draws():
    rounded = toy.compared({"value": 0.2503, "stderr": 0.0, "draws": 512}, "0.250")
    assert rounded["published_stderr"] == pytest.approx(1e-3 / math.sqrt(12))
    assert rounded["z"] == pytest.approx(0.3 * math.sqrt(12))
    sampled = toy.compared({"value": 4.0, "stderr": 0.1, "draws": 36_000}, "1.0000")
    assert sampled["published_stderr"] == pytest.approx(0.2, rel=1e-4)
    assert sampled["z"] == pytest.approx(3 / math.sqrt(0.05), rel=1e-4)


def test_the_distance_is_standard_normal_for_numbers_of_as_many_draws_as_it_is_told():
    generator, trials = np.random.default_rng(0), 4000
    ours, theirs = generator.normal(1, 0.01, trials), generator.normal(1, 0.02, trials)
    rows = [{"value": value, "stderr": 0.01, "draws": 36_000} for value in ours]
    z = [toy.compared(one, f"{text:.3f}")["z"] for one, text in zip(rows, theirs, strict=True)]
    assert np.std(z) == pytest.approx(1, abs=0.05)
    assert abs(np.mean(z)) < 0.06


def test_the_committed_table_has_all_published_numbers_beside_ours():
    table = read_table(TABLE)
    count = sum(len(numbers.split()) for known in toy.PUBLISHED.values() for numbers in known.values())
    assert len(table) == count == 48
    assert table[["value", "stderr", "published", "published_stderr", "z"]].notna().all(axis=None)
    expected = (table["value"] - table["published"]) / np.hypot(table["stderr"], table["published_stderr"])
    assert np.allclose(table["z"], expected)
