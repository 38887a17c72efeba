"""Figures that draw themselves hold the numbers of their tables, and refuse what they cannot draw."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from estimlab.errors import EstimlabError
from estimlab.results.overview import ROWS, overview, plot_causes, plot_errors
from estimlab.results.table import table_frame

ZGR = {"estimator": "zgr", "parameters": ""}


@pytest.fixture
def ax() -> Axes:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def errors(values: dict[str, tuple[float, float, float]]) -> list[dict]:
    """Rows of biases with intervals, and of deviations, by layer."""
    rows = []
    for layer, (bias, low, high) in values.items():
        head = {**ZGR, "layer": layer, "stderr": 0.01}
        rows.append({**head, "statistic": "relative_bias", "value": bias, "low": low, "high": high})
        rows.append({**head, "statistic": "relative_std", "value": 2.0, "low": None, "high": None})
    return rows


def drawn(ax: Axes) -> dict[str, list[float]]:
    """Heights of the marks by label."""
    handles, labels = ax.get_legend_handles_labels()
    lines = [getattr(handle, "lines", [handle])[0] for handle in handles]
    return {label: list(line.get_ydata()) for label, line in zip(labels, lines, strict=True)}


def test_a_bias_that_noise_hides_is_an_upper_limit(ax: Axes) -> None:
    table = table_frame(errors({"0": (0.5, 0.4, 0.6), "1": (0.1, 0.0, 0.3), "head": (1e-13, 1e-13, 1e-13)}))
    assert plot_errors(ax, table, "layer") is ax
    assert drawn(ax) == {"bias": [0.5], "bias below": [0.3, 1e-4], "std of one draw": [2.0, 2.0, 2.0]}
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "head"]
    assert (ax.get_title(), ax.get_yscale()) == ("ZGR", "log")


def test_causes_are_marks_beside_the_bias(ax: Axes) -> None:
    parts = (("0", "0", 0.5), ("0", "1", 0.2), ("1", "0", 0.0), ("1", "1", 0.7))
    rows = [{**ZGR, "layer": at, "source": s, "statistic": "bias_contribution", "value": v} for at, s, v in parts]
    rows += [
        {**ZGR, "layer": at, "source": "all", "statistic": "relative_bias", "value": v}
        for at, v in (("0", 0.6), ("1", 0.7))
    ]
    plot_causes(ax, table_frame(rows))
    assert drawn(ax) == {"caused by layer 0": [0.5], "caused by layer 1": [0.2, 0.7], "bias": [0.6, 0.7]}


def test_the_overview_has_a_panel_per_statistic_and_a_mark_per_layer() -> None:
    figure = overview(table_frame(errors({"0": (0.5, 0.4, 0.6), "1": (0.1, 0.05, 0.3)})), {"relative_bias": "$b$"})
    bias, deviation = figure.axes
    assert (bias.get_xlabel(), deviation.get_xlabel()) == ("$b$", "relative_std")
    found = {one.get_label(): one.lines[0].get_xdata().tolist() for one in bias.containers}
    assert found == {"layer 0": [0.5], "layer 1": [0.1]}
    ends = bias.containers[1].lines[2][0].get_segments()[0][:, 0]
    assert np.allclose(ends, [0.05, 0.3])
    assert np.allclose(deviation.containers[0].lines[2][0].get_segments()[0][:, 0], 2 + 1.96 * np.array([-0.01, 0.01]))


def test_what_is_next_to_nothing_is_an_open_mark_at_the_edge() -> None:
    values = (1.0, 1e-13, float("nan"))
    rows = [{"law": f"law {n}", "statistic": "mse", "value": value} for n, value in enumerate(values)]
    (panel,) = overview(table_frame(rows), {}).axes
    assert panel.get_xscale() == "log"
    marks = [(line.get_markerfacecolor(), np.nanmin(line.get_xdata())) for line in panel.get_lines()]
    assert [edge for face, edge in marks if face == "none"] == [1e-4]
    assert 1e-13 not in [edge for _, edge in marks]


def test_an_overview_of_what_is_no_table_of_statistics_is_refused() -> None:
    with pytest.raises(EstimlabError, match=r"without the columns statistic and value.* write figures/NAME\.py"):
        overview(table_frame([{"loss": 1.0}]), {})
    many = [{"law": f"law {number}", "statistic": "mse", "value": 1.0} for number in range(ROWS + 1)]
    with pytest.raises(EstimlabError, match=f"has {ROWS + 1} rows to tell apart"):
        overview(table_frame(many), {})
