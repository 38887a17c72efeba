"""What a study shows of its table, and how a study is printed."""

from __future__ import annotations

import pandas
import pytest
from results_toys import Number

from estimlab.errors import EstimlabError
from estimlab.results import Study
from estimlab.results.matrix import Matrix, usual
from estimlab.results.table import table_frame

LAYERS = ("0", "1")


def rows(statistics: tuple[str, ...] = ("relative_bias", "relative_rmse"), layers: tuple[str, ...] = LAYERS) -> list:
    estimators = (("zgr", ""), ("gumbel_softmax", "temperature=0.5"))
    return [
        {
            "estimator": name,
            "parameters": parameters,
            "law": "Logistic(scale=1.0)",
            "layer": layer,
            "statistic": statistic,
            "value": number + 0.5,
            "stderr": 0.1 * number,
        }
        for number, (name, parameters) in enumerate(estimators)
        for layer in layers
        for statistic in statistics
    ]


TABLE = table_frame(rows())


def cells(frame: pandas.DataFrame) -> list[list[str]]:
    return [list(frame.columns), *frame.to_numpy().tolist()]


def test_rows_by_columns_of_one_statistic() -> None:
    matrix = Matrix(("estimator",), ("law", "layer"), ("relative_bias",))
    assert cells(matrix.frame(TABLE)) == [
        ["estimator", "Logistic, layer 0", "Logistic, layer 1"],
        ["ZGR", "0.5", "0.5"],
        ["GS(0.5)", "1.5(1)", "1.5(1)"],
    ]
    assert matrix.title() == "relative_bias"


def test_several_statistics_stand_beside_each_other_in_the_order_asked_for() -> None:
    matrix = Matrix(("estimator",), (), ("relative_rmse", "relative_bias"), ("layer=1",))
    assert cells(matrix.frame(TABLE))[0] == ["estimator", "relative_rmse", "relative_bias"]
    assert matrix.title() == "relative_rmse, relative_bias; layer=1"


def test_rows_without_values_are_counted() -> None:
    table = table_frame([{"package": name, "verdict": "holds"} for name in "aab"])
    assert cells(Matrix(("package",), ("verdict",)).frame(table)) == [["package", "holds"], ["a", "2"], ["b", "1"]]


def test_estimators_of_one_label_are_told_apart() -> None:
    pairs = [("disarm", "pairs=1"), ("disarm", "tails='independent'")]  # values that a label leaves out
    made = [{"estimator": e, "parameters": p, "statistic": "mse", "value": 1.0} for e, p in pairs]
    found = Matrix(("estimator",), (), ("mse",)).frame(table_frame(made))
    assert list(found["estimator"]) == ["disarm(pairs=1)", "disarm(tails='independent')"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (Matrix(("estimater",), ("layer",)), "no column 'estimater'. Did you mean 'estimator'"),
        (Matrix(("estimator",), (), ("relative_bais",)), "no statistic 'relative_bais'. Did you mean 'relative_bias'"),
        (Matrix(("estimator",), (), (), ("layer=7",)), "Matrix(where=...): layer=7: no row has layer=7"),
        (Matrix(("estimator",), (), ("relative_bias",)), "they differ in layer."),
    ],
)
def test_what_a_table_does_not_hold_is_refused(matrix: Matrix, message: str) -> None:
    with pytest.raises(EstimlabError) as refusal:
        matrix.frame(TABLE)
    assert message in str(refusal.value)


def test_errors_per_layer_are_shown_by_default() -> None:
    assert usual(TABLE) == Matrix(("estimator",), ("layer",), ("relative_rmse",))
    one_layer = table_frame(rows(layers=("0",)))
    assert usual(one_layer) == Matrix(("estimator",), (), ("relative_rmse", "relative_bias"))
    assert usual(table_frame([{"loss": 1.0}])) is None
    assert usual(table_frame([{"statistic": "mse", "value": value} for value in (1.0, 2.0)])) is None


def study(**options: object) -> Study:
    return Study("Is it <so>?", (Number(1), Number(2)), (Number(0),), **options)  # type: ignore[arg-type]


def test_a_study_shows_what_it_says() -> None:
    ((title, frame),) = study().answered(TABLE, rows=1)
    assert (title, len(frame)) == ("relative_rmse (the first 1 of 2 rows)", 1)
    ((title, frame),) = study(shows=Matrix(("estimator",), ("layer",), ("relative_bias",))).answered(TABLE, rows=1)
    assert (title, len(frame)) == ("relative_bias", 2)
    assert study(shows=lambda table: [("all", table)]).answered(TABLE, rows=1) == [("all", TABLE)]
    ((title, frame),) = study().answered(table_frame([{"loss": 1.0}, {"loss": 2.0}]), rows=1)
    assert (title, list(frame["loss"])) == (" (the first 1 of 2 rows)", [1.0])


def test_a_study_is_printed_as_its_question_and_its_cells() -> None:
    question, columns, _, cell = repr(study()).splitlines()
    assert question == "Study: Is it <so>?"
    assert columns.split() == ["cells", "smoke"]
    assert cell.split() == ["Number", "2", "1"]
    assert "Is it &lt;so&gt;?" in study()._repr_html_()
