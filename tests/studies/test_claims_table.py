"""The table of claims: verdicts, origins, bounds, and on how much a statement rests."""

import math
from pathlib import Path

import pytest

from estimlab.results.study import load_study
from estimlab.results.table import read_table

ROOT = Path(__file__).parents[2]
LOADED = load_study(ROOT / "studies" / "claims.py")
TABLE = read_table(ROOT / "studies" / "tables" / "claims.csv")


def test_each_statement_has_one_origin_and_its_source():
    assert (TABLE.groupby("claim")["origin"].nunique() == 1).all()
    ours = TABLE["citation"] == "our derivation"
    assert (TABLE["origin"] == "ours").equals(ours)
    assert set(TABLE["origin"]) == {"published", "derived", "ours"}


def test_a_bias_that_is_not_zero_has_a_bound_of_ours():
    bounds = TABLE[TABLE["allowed_low"].eq(1e-3) & TABLE["allowed_high"].isna()]
    assert set(bounds["claim"]) == {"1b", "2d", "9b", "10b"}
    assert (bounds["bound"] == "ours").all()
    assert (TABLE.loc[TABLE["claim"].str.startswith("7"), "bound"] == "ours").all()


def test_the_lines_of_the_summary_say_on_how_much_they_rest():
    published, others = (table.set_index("claim") for _, table in LOADED.module.summary(TABLE))
    assert "origin" not in published
    assert set(others["origin"]) == {"derived", "ours"}
    assert published["on"]["3b"] == "4 problems, 2 temperatures"
    assert others["on"]["5b"] == "4 problems, 1 temperature"
    assert others["predicted"]["2b"] == "0.035 to 0.385"
    assert published["predicted"]["7a"] == "≤ 1.05 (ours)"


# ---- verdicts and the committed table


@pytest.mark.parametrize(
    ("value", "stderr", "verdict"),
    [
        (1.05, 0.0, "holds"),
        (1.05, 0.01, "holds"),
        (1.05, 0.02, "undecided"),
        (1.2, 0.02, "refuted"),
        (0.5, 1.0, "undecided"),
    ],
)
def test_a_verdict_follows_from_value_error_and_interval(value, stderr, verdict):
    from literature.tested import about

    assert about(1.0, 0.1).verdict(value, stderr) == verdict


def test_deviations_count_allowed_distances():
    from literature.tested import Predicted, about, at_least, at_most

    assert about(1.0, 0.1).deviation(1.2) == pytest.approx(2)
    assert at_most(2.0).deviation(1.0) == pytest.approx(0.5)
    assert at_least(2.0).deviation(1.0) == pytest.approx(2)
    assert at_least(2.0).verdict(1.0) == "refuted"
    with pytest.raises(ValueError, match="positive bound"):
        Predicted(0.0, low=0.0)


def test_the_committed_verdicts_follow_from_the_committed_numbers():
    from literature.tested import Predicted

    for _, row in TABLE.iterrows():
        ends = [None if math.isnan(row[end]) else row[end] for end in ("allowed_low", "allowed_high")]
        allowed = Predicted(row["published"], *ends)
        assert row["verdict"] == allowed.verdict(row["value"], row["stderr"])
        assert row["deviation"] == pytest.approx(allowed.deviation(row["value"]), rel=1e-9, abs=1e-12)
