from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from results_toys import environment

from estimlab.errors import EstimlabError
from estimlab.results import plotting
from estimlab.results.table import table_frame, write_table

DRAW = """
import matplotlib.pyplot as plt
from estimlab.results.columns import describe
from estimlab.results.plotting import COLUMN_WIDTH, appearance


def draw(table):
    figure, axes = plt.subplots(figsize=(COLUMN_WIDTH, 2))
    for (name, parameters), rows in table.groupby(["estimator", "parameters"]):
        axes.errorbar(rows["layer"], rows["value"], rows["stderr"], **appearance(name, parameters))
    axes.set_ylabel(describe("relative_bias").symbol)
    axes.legend()
    return RESULT
"""


def make(home: Path, result: str = "figure") -> None:
    (home / "figures").mkdir(exist_ok=True)
    (home / "figures" / "toy.py").write_text(DRAW.replace("RESULT", result))
    rows = [
        {"estimator": name, "parameters": "", "layer": str(layer), "value": layer + 0.5, "stderr": 0.1}
        for name in ("zgr", "straight_through", "made_up")
        for layer in range(3)
    ]
    write_table(table_frame(rows), home / "tables" / "toy.csv", {})


def test_torch_is_never_needed(tmp_path: Path) -> None:
    make(tmp_path)
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import estimlab.cli, estimlab.results.runner\n"
        "from estimlab.results.plotting import draw_figure\n"
        "draw_figure('toy', 'tables/toy.csv', 'figures/out')\n"
    )
    variables = {**environment(), "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "figures/out").iterdir()) == ["toy.pdf", "toy.png"]


def test_equal_figures_give_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    written = []
    for number, moment in (("1", "0"), ("2", "1000000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", moment)
        out = tmp_path / number
        paths = plotting.draw_figure("toy", tmp_path / "tables/toy.csv", out, tmp_path / "figures")
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert b"CreationDate" not in written[0][0]
    assert b"/FontFile2" in written[0][0]  # TrueType, embedded
    assert b"/Type3" not in written[0][0]


def test_several_figures(tmp_path: Path) -> None:
    make(tmp_path, "{'left': figure, 'right': figure}")
    paths = plotting.draw_figure("toy", tmp_path / "tables/toy.csv", tmp_path / "out", tmp_path / "figures")
    assert [path.name for path in paths] == ["toy-left.pdf", "toy-left.png", "toy-right.pdf", "toy-right.png"]


def test_errors(tmp_path: Path) -> None:
    make(tmp_path, "None")
    with pytest.raises(EstimlabError, match=r"no figure 'tyo'.*Did you mean 'toy'"):
        plotting.load_figure("tyo", tmp_path / "figures")
    with pytest.raises(EstimlabError, match=r"must return Matplotlib figures, not None"):
        plotting.draw_figure("toy", tmp_path / "tables/toy.csv", tmp_path, tmp_path / "figures")
    (tmp_path / "figures" / "toy.py").write_text("")
    with pytest.raises(EstimlabError, match=r"needs a function draw\(table\)"):
        plotting.load_figure("toy", tmp_path / "figures")
    table = tmp_path / "tables" / "toy.csv"
    table.write_text(table.read_text() + "zgr,,3,0.5,0.1\n")
    make_text = DRAW.replace("RESULT", "figure")
    (tmp_path / "figures" / "toy.py").write_text(make_text)
    with pytest.raises(EstimlabError, match="is not the table"):
        plotting.draw_figure("toy", table, tmp_path, tmp_path / "figures")


@pytest.mark.parametrize(
    ("estimator", "parameters", "label"),
    [
        ("straight_through", "proxy='derived'", "ST"),
        ("straight_through", "proxy=identity", "ST (identity)"),
        ("straight_through", "proxy='hard_tanh'", "ST (hard tanh)"),
        ("zgr", "", "ZGR"),
        ("mve", "t=2.0", "MVE(2.0)"),
        ("gumbel_softmax", "temperature=0.5", "GS(0.5)"),
        ("st_gumbel_softmax", "temperature=0.5", "ST-GS(0.5)"),
        ("iw_st", "p1=PowerWeight(alpha=0.5)", "IW-ST (power weight 0.5)"),
        ("reinforce", "baseline=0.0", "REINFORCE"),
        ("reinforce", "baseline='exact_mean'", "REINFORCE (mean)"),
        ("arm", "tails='independent'", "ARM"),
        ("disarm", "tails='common'", "DisARM (common)"),
        ("my_own", "a=1, b=None", "my own(1)"),
        ("my_own", "not = python =", "my own (not = python =)"),
    ],
)
def test_labels(estimator: str, parameters: str, label: str) -> None:
    assert plotting.appearance(estimator, parameters)["label"] == label


def test_known_estimators_look_different() -> None:
    looks = [plotting.appearance(name) for name in plotting._KNOWN]
    for part in ("color", "marker", "label"):
        assert len({look[part] for look in looks}) == len(plotting._KNOWN)
    assert plotting.appearance("unheard_of") == plotting.appearance("unheard_of")
