"""What a session shows of results: short, in the order of a paper, with errors."""

import re

import matplotlib.pyplot as plt
import pytest

import estimlab as el

PROBLEM = el.problems.load("toy-late/v1")


@pytest.fixture(scope="module")
def exact():
    return el.exact_moments(PROBLEM, el.ZGR())


def test_a_measurement_is_a_matrix_of_layers_by_statistics(exact):
    head, columns, _, *rows = repr(exact).splitlines()
    assert head.startswith("ZGR(): exact; bias, std and RMSE of one draw")
    assert columns.split() == ["bias", "std", "RMSE", "cosine", "efficiency"]
    assert [row.split()[0] for row in rows] == list(exact.layers)
    assert list(exact.summary("network").index) == ["network"]
    assert "<table" in exact._repr_html_()


def test_sampled_values_carry_their_errors():
    sampled = el.measure(PROBLEM, el.Reinforce(), draws=1024)
    assert "monte carlo, 1,024 draws" in repr(sampled)
    assert re.search(r"\d\(\d+\)", sampled.summary().loc["0", "std"])


def test_values_by_name_are_those_of_the_table(exact):
    table = exact.table().set_index(["statistic", "layer"])["value"]
    for name in ("relative_bias", "relative_std", "relative_rmse", "cosine"):
        for layer, value in getattr(exact, name).items():
            assert value == table[name, layer]


def test_an_attribution_is_a_matrix_of_layers_by_causes():
    found = el.attribute_bias(PROBLEM, el.StraightThrough())
    table = found.summary()
    assert list(table.columns) == ["from 0", "from 1", "from 2", "from all"]
    measured = el.exact_moments(PROBLEM, el.StraightThrough()).relative_bias
    assert float(table.loc["1", "from all"]) == pytest.approx(measured["1"], rel=5e-3)
    assert "StraightThrough" in repr(found)


def test_problems_and_gradients_are_told_in_a_few_lines():
    units = "BinaryUnits(law=Logistic(scale=1.0), low=0.0, high=1.0)"
    assert repr(PROBLEM) == f"<Problem: LogisticLoss of 5-5-5 {units}, 200 examples, float64>"
    truth = el.LayerwiseEnumeration().gradient(PROBLEM)
    head, *blocks = repr(truth).splitlines()
    assert head.startswith("gradient by LayerwiseEnumeration(")
    assert head.endswith("exact")
    assert len(blocks) == len(truth.value)
    sampled = el.MonteCarloReference(draws=512).gradient(PROBLEM)
    assert "standard error" in repr(sampled)


@pytest.mark.parametrize(("by", "places"), [("layer", 4), ("block", 8), ("network", 1)])
def test_a_measurement_is_plotted_by_place(exact, by, places):
    ax = exact.plot(by=by)
    assert len(ax.get_xticks()) == places
    assert ax.get_ylabel() == "over the norm of the gradient"
    plt.close(ax.figure)


def test_plots_are_drawn_on_the_axes_given(exact):
    figure, axes = plt.subplots(1, 2)
    assert exact.plot(axes[0]) is axes[0]
    assert el.attribute_bias(PROBLEM, el.ZGR()).plot(axes[1]) is axes[1]
    assert all(ax.has_data() for ax in axes)
    plt.close(figure)
