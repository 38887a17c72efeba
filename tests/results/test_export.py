from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from estimlab.errors import EstimlabError
from estimlab.numbers import with_error
from estimlab.results.caption import caption
from estimlab.results.export import export_table
from estimlab.results.table import read_table, rewrite_answer, table_frame, write_table

COLUMNS = {"published": {"symbol": "$p_x$", "unit": "1", "meaning": "a number in print"}}
STATISTICS = {
    "relative_bias": {"symbol": r"$\|b\|$", "unit": "1", "meaning": "the bias"},
    "mse": {"symbol": "", "unit": "", "meaning": "the error"},
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        {"estimator": "a_b", "layer": layer, "statistic": name, "value": value, "stderr": stderr, "seed": 3}
        for layer in ("1", "0")
        for name, value, stderr in (("relative_bias", 0.25, None), ("mse", 1.234, 0.056))
    ]
    record = {"study": "toy", "question": "Is it?", "answer": "No.", "statistics": STATISTICS, "columns": COLUMNS}
    write_table(table_frame(rows), tmp_path / "toy.csv", record)
    return tmp_path / "toy.csv"


def test_markdown_joins_errors_and_keeps_the_order(table: Path) -> None:
    assert export_table(table, "markdown", ["estimator", "layer"]).splitlines() == [
        r"| estimator | layer | $\Vert b\Vert $ | mse |",
        "| --- | --- | --- | --- |",
        r"| a\_b | 1 | 0.25 | 1.23(6) |",
        r"| a\_b | 0 | 0.25 | 1.23(6) |",
    ]
    # What does not vary is left out unless it is asked for.
    assert export_table(table, "markdown").startswith(r"| layer | $\Vert b\Vert $ | mse |")


def test_latex_is_booktabs_and_escapes_text_but_no_formula(table: Path) -> None:
    lines = export_table(table, "latex", ["estimator"], ["layer=0"]).splitlines()
    assert lines[1:3] == [r"\toprule", r"estimator & $\|b\|$ & mse \\"]
    assert r"a\_b & 0.25 & 1.23(6) \\" in lines
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]


ODD = "\\ & % $ # _ { } ^ ~ < > | * ` [ ] a\n\nb"


def test_every_special_character_is_escaped(tmp_path: Path) -> None:
    rows = [{"estimator": text, "statistic": "mse", "value": 1.0, "stderr": None} for text in (ODD, "plain")]
    write_table(table_frame(rows), tmp_path / "toy.csv", {"columns": {}})
    latex = export_table(tmp_path / "toy.csv", "latex").splitlines()
    assert (
        r"\textbackslash{} \& \% \$ \# \_ \{ \} \textasciicircum{} \textasciitilde{} \textless{} \textgreater{} "
        r"\textbar{} * ` [ ] a b & 1 \\"
    ) in latex
    markdown = export_table(tmp_path / "toy.csv", "markdown").splitlines()
    assert r"| \\ \& % \$ # \_ { } ^ \~ \< \> \| \* \` \[ \] a b | 1 |" in markdown


def test_csv_keeps_every_digit(table: Path) -> None:
    text = export_table(table, "csv", ["layer", "value"], ["statistic=mse", "layer=0,1"])
    assert text == "layer,value\n1,1.234\n0,1.234\n"


def test_statistics_are_columns_of_their_own(table: Path) -> None:
    assert export_table(table, "csv", ["mse", "layer"]) == "layer,mse,mse_stderr\n1,1.234,0.056\n0,1.234,0.056\n"
    assert export_table(table, "csv", ["mse"], ["layer=0"]) == "mse,mse_stderr\n1.234,0.056\n"
    in_this_order = export_table(table, "csv", ["mse", "relative_bias", "estimator", "layer"])
    assert in_this_order.splitlines()[1:] == ["a_b,1,1.234,0.056,0.25", "a_b,0,1.234,0.056,0.25"]
    assert export_table(table, "markdown", ["mse"]).splitlines() == [
        "| layer | mse |",
        "| --- | --- |",
        "| 1 | 1.23(6) |",
        "| 0 | 1.23(6) |",
    ]


def test_a_wide_table_of_numbers_keeps_missing_fields_apart(tmp_path: Path) -> None:
    rows = [
        {"estimator": name, "parameters": f"width={width}" * (width is not None), "width": width, **moments}
        for name, width, moments in (
            ("a", 0.1, {"statistic": "mse", "value": 1 / 3, "stderr": 0.0}),
            ("a", None, {"statistic": "mse", "value": 2.0, "stderr": 0.0}),
            ("a", 0.1, {"statistic": "cosine", "value": 0.5, "stderr": 0.1}),
        )
    ]
    write_table(table_frame(rows), tmp_path / "toy.csv", {"columns": {}})
    text = export_table(tmp_path / "toy.csv", "csv", ["width", "cosine", "mse"])
    assert text == "width,cosine,cosine_stderr,mse\n0.1,0.5,0.1,0.3333333333333333\n,,,2.0\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("html",), "choose one of latex, markdown, csv"),
        (("csv", ["laier"]), "no column and no statistic 'laier'. Did you mean 'layer'?"),
        (("latex", ["layer", "mze"]), "no statistic 'mze'. Did you mean 'mse'? It has the columns estimator, layer,"),
        (("csv", ["mse", "estimator"]), "Several rows share estimator=a_b, statistic=mse"),
        (("csv", [], ["layer"]), "write column=value"),
        (("csv", [], ["layer=7"]), "no row has layer=7. There is 0, 1."),
        (("latex", ["estimator"]), "Several rows share estimator=a_b, statistic=relative_bias; they differ in layer."),
    ],
)
def test_errors(table: Path, arguments: tuple, message: str) -> None:
    with pytest.raises(EstimlabError) as error:
        export_table(table, *arguments)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (0.12345, 0.0, "0.123"),
        (0.12345, 0.03, "0.12(3)"),
        (0.12345, 0.0096, "0.12(1)"),
        (412.3, 21.0, "412(21)"),
        (1.0, 1e-8, "1.00000000(1)"),
        (-2e-6, 3e-6, "-2(3)e-6"),
        (-2.4e-7, 1e-8, "-2.4(1)e-7"),
        (3.2e7, 2e6, "3.2(2)e7"),
        (0.0, 0.02, "0.00(2)"),
        (float("nan"), 0.1, ""),
    ],
)
def test_a_value_with_its_error(value: float, stderr: float, text: str) -> None:
    assert with_error(value, stderr) == text


def test_caption_says_what_was_asked_answered_and_measured(table: Path) -> None:
    before = table.read_bytes()
    rewrite_answer(table, "Is it so?", "Yes, it is.")
    assert table.read_bytes() == before
    assert len(read_table(table)) == 4
    text = caption(table)
    for part in ("# toy", "**Question.** Is it so?", "**Answer.** Yes, it is.", "Estimators: `a_b`", "the bias"):
        assert part in text
    assert caption(table) == text


def test_the_command_line(write_study: Callable[..., Path], cli: Callable[..., subprocess.CompletedProcess]) -> None:
    home = write_study("Toy(1), Toy(2)")
    assert cli(home, "run", "toy", "--workers", "0").returncode == 0
    done = cli(home, "table", "toy", "--format", "latex", "--columns", "seed", "--where", "statistic=mse,bias_share")
    assert done.returncode == 0, done.stderr
    assert r"1 & 0.906 &" in done.stdout
    study, csv = home / "studies/toy.py", home / "studies/tables/toy.csv"
    study.write_text(study.read_text().replace('"Does it run?"', '"Does it run?", answer="It does."'))
    before, ran = csv.read_bytes(), (home / "studies/ran").read_text()
    done = cli(home, "run", "toy", "--answer-only")
    assert done.returncode == 0, done.stderr
    assert (csv.read_bytes(), (home / "studies/ran").read_text()) == (before, ran)
    assert '"answer": "It does."' in csv.with_suffix(".json").read_text()
    assert "no row has seed=3" in cli(home, "table", "toy", "--where", "seed=3").stderr
