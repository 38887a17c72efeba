"""Fields of estimators are columns, whoever wrote the estimator."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import estimlab as el
from estimlab.cells import ExactMoments, FrozenProblem, MonteCarloMoments
from estimlab.estimators import catalogue
from estimlab.measurement.labels import RESERVED, beside, estimator_columns
from estimlab.results.columns import COLUMNS, FIELDS, STATISTICS, describe, field_columns
from estimlab.results.table import table_frame
from estimlab.results.worker import plain_rows


@dataclass(frozen=True)
class Odd(el.HardForward):
    """Fields of every kind, some of them called like columns."""

    width: float = 2.0
    layer: int = 3
    note: str | None = None
    weight: object = el.Logistic()

    def derivative(self, a, bit, uniform, law):
        """Straight-through."""
        return law.density(a)


def test_every_field_is_a_column() -> None:
    found = estimator_columns(Odd())
    assert found.pop("estimator") == "odd"
    assert found.pop("parameters").startswith("width=2.0, layer=3, note=None, weight=")
    assert found == {"width": 2.0, "estimator_layer": 3, "note": None, "weight": str(el.Logistic())}


def test_a_field_called_like_a_column_of_the_problem_is_renamed() -> None:
    assert beside({"problem": "p", "width": 8}, {"width": 2.0}) == {"problem": "p", "width": 8, "estimator_width": 2.0}


def test_reserved_names_are_those_of_every_table() -> None:
    assert COLUMNS.keys() == RESERVED
    assert not FIELDS.keys() & (COLUMNS.keys() | STATISTICS.keys())


def test_fields_of_the_catalogue_are_defined() -> None:
    for one in (cls() for cls in catalogue()):
        names = estimator_columns(one).keys() - {"estimator", "parameters"}
        assert names <= FIELDS.keys(), one
        assert len(names) == len(dataclasses.fields(one)), one


def test_fields_of_others_are_described_by_themselves() -> None:
    fields = field_columns([estimator_columns(Odd())["parameters"]])
    assert describe("width", fields=fields).meaning == "the estimator's field width"
    assert describe("estimator_layer", fields=fields).meaning == "the estimator's field layer"
    assert describe("layer", fields=fields) is COLUMNS["layer"]


def test_rows_of_a_cell_may_differ_in_fields_and_tables_show_them_together() -> None:
    toy = FrozenProblem("multilinear/v1")
    one = ExactMoments(toy, Odd(), statistics=("mse",)).run()
    two = MonteCarloMoments(toy, el.GumbelSoftmax(0.5), statistics=("mse",), draws=512).run()
    frame = table_frame(plain_rows(one) + plain_rows(two))
    assert list(frame.columns)[:8] == (
        ["problem", "seed", "estimator", "parameters", "width", "estimator_layer", "note", "weight"]
    )
    assert frame["temperature"].tolist()[-1] == 0.5
    assert frame["width"].tolist()[0] == 2.0
    assert not frame.duplicated(["estimator", "parameters", "layer", "statistic"]).any()


def test_the_error_of_a_mean_has_no_interval_of_another_statistic() -> None:
    rows = MonteCarloMoments(FrozenProblem("multilinear/v1"), el.GumbelSoftmax(0.5), averages=(4,), draws=512).run()
    (found,) = [row for row in rows if row["averaged"] == 4]
    assert (found["low"], found["high"]) == (None, None)
