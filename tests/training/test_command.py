"""The command line of training: what is typed, what is refused, what is repeated."""

import json

import pytest
from typer.testing import CliRunner

import estimlab as el
from estimlab.cli import app
from estimlab.training.command import Chosen, configure
from estimlab.training.recipes import named_recipes
from estimlab.training.recipes.digits import Digits

SMALL = ["--recipe-set", "examples=100", "--recipe-set", "widths=(6, 5)", "--epochs", "2"]


def typed(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)], env={"COLUMNS": "200"})


def test_help_lists_the_recipes():
    text = typed("--help").output
    for name, cls in named_recipes().items():
        assert f"{name}: {cls.summary}"[:60] in text


def test_a_run_is_typed_resumed_and_repeated(tmp_path):
    first = typed(
        "digits", "--estimator", "gumbel_softmax", "--set", "temperature=0.5", *SMALL, "--out", tmp_path / "a"
    )
    assert first.exit_code == 0, first.output
    run = json.loads((tmp_path / "a/run.json").read_text())
    assert run["estimator"]["repr"] == "GumbelSoftmax(temperature=0.5)"
    assert run["recipe"]["settings"]["widths"] == "(6, 5)"
    again = typed("--like", tmp_path / "a/run.json", "--out", tmp_path / "b")
    assert again.exit_code == 0, again.output
    results = [json.loads((tmp_path / name / "run.json").read_text())["results"] for name in "ab"]
    assert results[0] == results[1]
    taken = typed("digits", *SMALL, "--out", tmp_path / "a")
    assert taken.exit_code == 2
    assert "--resume" in taken.output
    other = typed("digits", *SMALL, "--resume", "--out", tmp_path / "a")
    assert "another recipe, estimator or seed" in other.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digts"], "Did you mean 'digits'"),
        (["digits", "--estimator", "straight_trough"], "straight_through"),
        (["digits", "--recipe-set", "epoch=3"], "Did you mean 'epochs'"),
        (["digits", "--epochs", "0"], "at least 1"),
        (["digits", "--device", "cuda"], "torch sees no GPU"),
        ([], "Give the name of a recipe"),
        (["digits", "--resume", "--out", "nowhere"], "nowhere holds no run"),
        (["digits", "--set", "temperature=1"], "Its fields are proxy."),
        (["digits", "--recipe-set", "optimiser=adamax"], "'adam' or 'sgd'"),
    ],
)
def test_errors_say_what_to_do(arguments, message, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = typed(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_settings_are_values_and_words():
    chosen = Chosen("digits", ["optimiser=sgd", "clip=1.0", "law=Gaussian(0.5)"], seed=3, epochs=2)
    found = configure(chosen, el.ZGR)
    assert found.recipe == Digits(epochs=2, optimiser="sgd", clip=1.0, law=el.Gaussian(0.5))
    assert (found.estimator, found.seed) == (el.ZGR(), 3)


def test_a_file_that_is_no_run_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    assert "is not the run.json of a run" in typed("--like", tmp_path / "x.json").output
