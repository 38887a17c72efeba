"""A newcomer is placed among the catalogue, with the numbers of the estimator that it is."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

import estimlab as el
from estimlab.cells.scoreboard import PROBLEMS, Score, ranks, scoreboard, standing
from estimlab.results.table import read_provenance, read_table

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Twin(el.HardForward):
    """Derived straight-through under another name."""

    def derivative(self, a, bit, uniform, law):
        return law.density(a)


@dataclass(frozen=True)
class Broken(el.Estimator):
    """Serves nothing."""

    def surrogate(self, problem, noise):
        raise el.EstimlabError("Broken() serves no network.")


def test_a_newcomer_has_a_table_and_a_figure_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("estimlab.cells.scoreboard.PROBLEMS", ("quadratic/v1", "uniform-late/v1"))
    files = scoreboard(Twin(), tmp_path)
    assert sorted(path.name for path in files if path.suffix != ".md") == [
        "twin.csv",
        "twin.json",
        "twin.pdf",
        "twin.png",
    ]
    assert all(path.is_file() for path in files)
    table = read_table(tmp_path / "twin.csv")
    assert read_provenance(tmp_path / "twin.csv")["newcomer"] == "Twin()"
    assert set(table.loc[table["newcomer"], "estimator"]) == {"twin"}
    keys = ["problem", "layer", "statistic"]
    twin, ours = (table[table["estimator"] == name].set_index(keys)["value"] for name in ("twin", "straight_through"))
    assert len(twin) == 20
    stands = standing(table).set_index(["problem", "layer"])
    assert stands.loc[("quadratic/v1", "0"), "bias"] == "0.417"
    assert stands.loc[("quadratic/v1", "0"), "rmse"] != ""
    places = ranks(table, "relative_rmse").set_index(["problem", "layer"]).loc[("quadratic/v1", "0")]
    place, among = places["place"].split(" of ")
    assert places["newcomer"].startswith("twin ")
    errors = table[(table["problem"] == "quadratic/v1") & (table["statistic"] == "relative_rmse")]
    assert int(among) == len(errors)
    ours_error = errors.loc[errors["estimator"] == "straight_through", "value"].item()
    assert "ST" in (places["before"].split()[0], places["after"].split()[0])  # whose twin it is
    assert int(place) == 1 + (errors["value"] < ours_error * (1 - 1e-6)).sum()
    assert twin.to_numpy() == pytest.approx(ours.loc[twin.index].to_numpy(), rel=1e-9)


def test_neighbours_in_rank_are_named_and_the_ends_are_told():
    errors = {"zgr": 0.5, "arm": 0.25, "psa": 1.0, "darn": float("nan"), "mine": 0.0}
    values = {"first": 0.1, "between": 0.7, "last": 3.0}
    rows = [
        {"problem": problem, "layer": 0, "estimator": name, "statistic": "relative_rmse", "newcomer": name == "mine"}
        | {"parameters": "", "value": own if name == "mine" else error}
        for problem, own in values.items()
        for name, error in errors.items()
    ]
    found = ranks(pd.DataFrame(rows), "relative_rmse").set_index("problem")
    assert found.loc["first"].tolist() == ["0", "1 of 4", "none: it is the best", "mine 0.1", "ARM 0.25"]
    assert found.loc["between"].tolist() == ["0", "3 of 4", "ZGR 0.5", "mine 0.7", "PSA 1"]
    assert found.loc["last"].tolist() == ["0", "4 of 4", "PSA 1", "mine 3", "none: it is the worst"]


def test_the_catalogue_is_complete():
    table = read_table(ROOT / "studies/tables/scoreboard.csv")
    assert set(table["problem"]) == set(PROBLEMS)
    names = {cls.name for cls in el.estimators.catalogue()} - {"average"}
    assert set(table["estimator"]) == names
    assert not table["newcomer"].any()


def test_unbiased_estimators_have_no_bias_and_more_cost_means_fewer_draws():
    table = read_table(ROOT / "studies/tables/scoreboard.csv")
    bias = table[table["statistic"] == "relative_bias"].set_index(["estimator", "problem", "layer"])
    for cls in el.estimators.catalogue():
        if cls().claims().unbiased == "all layers" and cls.name != "average":
            rows = bias.loc[cls.name]
            assert (rows["value"] < 5 * rows["stderr"] + 1e-7).all(), cls.name
    counts = table[table["averaged"] > 1].groupby("estimator")["averaged"].max()
    assert counts["arms"] < counts["disarm"] < counts["straight_through"]


def test_what_serves_nothing_is_refused(monkeypatch):
    monkeypatch.setattr("estimlab.cells.scoreboard.PROBLEMS", ("quadratic/v1",))
    with pytest.raises(el.EstimlabError, match="serves none"):
        scoreboard(Broken())


def test_a_score_is_exact_where_it_can_be():
    assert Score("quadratic/v1", el.ZGR()).measurement().method == "exact"
    assert Score("quadratic/v1", el.Reinforce(), 512).measurement().method == "monte_carlo"


@dataclass(frozen=True)
class Crashing(el.HardForward):
    """Fails with an error that is not estimlab's."""

    def derivative(self, a, bit, uniform, law):
        raise KeyError("width")


def test_a_newcomer_that_crashes_is_named_and_leaves_nothing(tmp_path):
    with pytest.raises(el.EstimlabError, match=r"Crashing\(\) crashes on toy-late/v1\. KeyError: 'width'"):
        scoreboard(Crashing(), tmp_path / "out" / "below")
    assert not list(tmp_path.iterdir())
