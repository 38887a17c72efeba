from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from results_toys import environment

Cli = Callable[..., subprocess.CompletedProcess]
Write = Callable[..., Path]

SHOWN = """

def shown(frame):
    return [("first", frame.head(1)[["value"]]), ("count", frame.groupby("statistic", as_index=False)["value"].count())]


STUDY = Study(STUDY.question, STUDY.cells, STUDY.smoke, shows=shown)
"""

FIGURE = """
import matplotlib.pyplot as plt


def draw(table):
    figure, axes = plt.subplots()
    axes.plot(table["value"])
    return figure
"""


def test_help_imports_neither_torch_nor_pandas(tmp_path: Path) -> None:
    script = (
        "import sys\nfor name in ('torch', 'pandas', 'numpy', 'matplotlib'): sys.modules[name] = None\n"
        "sys.argv = ['estimlab', '--help']\nfrom estimlab.cli import app\napp()"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("run", "figure", "list", "check", "version"):
        assert command in done.stdout


def test_run_prints_a_matrix_and_the_paths(write_study: Write, cli: Cli) -> None:
    home = write_study("Toy(1), Toy(2), Toy(3)")
    done = cli(home, "run", "toy", "--workers", "1", "--rows", "2")
    assert done.returncode == 0, done.stderr
    assert "mse, variance, bias_share (the first 2 of 3 rows)" in done.stdout
    assert [line.split()[1:4:2] for line in done.stdout.splitlines() if "│" in line] == [["1", "0.906"], ["2", "2.46"]]
    assert "table       studies/tables/toy.csv" in done.stdout
    assert "toy: 3 of 3 cells" in done.stderr


def test_a_matrix_of_what_a_table_has_not_is_refused_once_the_table_is_written(write_study: Write, cli: Cli) -> None:
    home = write_study("Toy(1), Toy(2)")
    path = home / "studies" / "toy.py"
    path.write_text(path.read_text().replace("smoke=(Toy(0),),", 'smoke=(Toy(0),), shows=Matrix(("sed",)),'))
    path.write_text(path.read_text().replace("import Cell, Column", "import Cell, Column, Matrix"))
    done = cli(home, "run", "toy", "--workers", "0")
    assert done.returncode == 2
    assert "no column 'sed'. Did you mean 'seed'" in done.stderr
    assert done.stdout.endswith("provenance  studies/tables/toy.json\n")


def test_run_prints_what_a_study_shows(write_study: Write, cli: Cli) -> None:
    home = write_study("Toy(1), Toy(2)")
    path = home / "studies" / "toy.py"
    path.write_text(path.read_text() + SHOWN)
    done = cli(home, "run", "toy", "--smoke", "--workers", "0")
    assert done.returncode == 0, done.stderr
    assert "first" in done.stdout
    assert "count" in done.stdout
    assert "studies/tables/smoke/toy.csv" in done.stdout


def test_errors_have_no_traceback_without_debug(write_study: Write, cli: Cli) -> None:
    home = write_study("Toy(1, fault='raise'), Toy(2)")
    done = cli(home, "run", "toy", "--workers", "1")
    assert done.returncode == 2
    assert "toy 1: RuntimeError: toy 1 is broken" in done.stderr
    assert "Traceback" not in done.stderr
    debug = cli(home, "run", "toy", "--workers", "1", "--debug")
    assert debug.returncode != 0
    assert 'raise RuntimeError(f"toy {self.number} is broken")' in debug.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "tyo"), "There is no study 'tyo'. Did you mean 'toy'?"),
        (("run", "wrong.py"), "Study(cells[0]=3): cells[0] must be a cell"),
        (("figure", "tyo"), "There is no study 'tyo'"),
        (("figure", "toy"), "toy.csv cannot be read"),
        (("figure",), "Give the name of one study, or --all."),
        (("figure", "--all"), "has a figure of its name"),
        (("list", "estimator"), "There is no list of 'estimator'. Did you mean 'estimators'"),
        (("run", "toy", "--workers", "-3"), "workers=-3"),
    ],
)
def test_errors(write_study: Write, cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    home = write_study("Toy(1)")
    (home / "wrong.py").write_text("from estimlab.results import Study\nSTUDY = Study('?', (3,), (3,))")
    done = cli(home, *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_study_without_a_figure_of_its_own_has_a_plain_one_beside_it(write_study: Write, cli: Cli) -> None:
    home = write_study("Toy(1), Toy(2)")
    (home / "studies" / "toy.py").rename(home / "toy.py")
    assert cli(home, "run", "toy.py", "--workers", "0").returncode == 0
    done = cli(home, "figure", "toy.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"figures/out/toy.{ending}" for ending in ("pdf", "png", "md")]
    (home / "figures" / "toy.py").write_text("def draw(table):\n    return 'nothing'\n")
    assert "draw() of figure 'toy' must return Matplotlib figures" in cli(home, "figure", "toy.py").stderr


@pytest.mark.slow
def test_figures(write_study: Write, cli: Cli) -> None:
    home = write_study("Toy(1)")
    write_study("Toy(1)", name="other")
    (home / "figures").mkdir()
    for name in ("toy", "other"):
        (home / "figures" / f"{name}.py").write_text(FIGURE)
    assert cli(home, "run", "toy", "--workers", "0").returncode == 0
    done = cli(home, "figure", "toy")
    assert done.returncode == 0, done.stderr
    assert "figures/out/toy.pdf" in done.stdout
    # what can be drawn is drawn, and what cannot is named
    done = cli(home, "figure", "--all")
    assert done.returncode == 2
    assert "figures/out/toy.png" in done.stdout
    assert "other.csv cannot be read" in done.stderr
    assert cli(home, "run", "other", "--smoke", "--workers", "0").returncode == 0
    assert "figures/out/smoke/other.pdf" in cli(home, "figure", "other", "--smoke").stdout


def test_list_studies(write_study: Write, cli: Cli) -> None:
    home = write_study("Toy(1), Toy(2)")
    (home / "studies" / "broken.py").write_text("import nothing_of_this_name")
    done = cli(home, "list", "studies")
    assert done.returncode == 0, done.stderr
    assert "Does it run?" in done.stdout
    assert "cannot be loaded. ModuleNotFoundError" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("size", "code"), [(3, 0), (4, 1), (5, 2)])
def test_check(tmp_path: Path, cli: Cli, size: int, code: int) -> None:
    # A stand-in for estimlab.checks: what is tested is how its report is asked for and shown.
    (tmp_path / "mine.py").write_text(
        "import sys, types\n"
        "from dataclasses import dataclass\n"
        "import estimlab as el\n"
        "@dataclass(frozen=True)\nclass Mine(el.StraightThrough):\n    size: int = 3\n    mode: str = 'fast'\n"
        "from estimlab.checks.report import CheckReport, Row\n"
        "def check(one, **options):\n    assert options['seed'] == 7\n"
        "    verdict = {3: 'holds', 4: 'refuted'}.get(one.size, 'undecided')\n"
        "    row = Row('size is 3', verdict, f'{one.size} {one.mode}', snippet='print(4)' * (one.size == 4))\n"
        "    return CheckReport(one, (row,))\n"
        "checks = types.ModuleType('estimlab.checks')\nchecks.check_estimator = check\n"
        "checks.CLAIMS, checks.expected_of = (), lambda texts, known: {}\n"
        "sys.modules['estimlab.checks'] = checks\n"
    )
    done = cli(tmp_path, "check", "mine.py:Mine", "--set", f"size={size}", "--set", "mode=slow", "--seed", "7")
    assert done.returncode == code, done.stderr
    verdict = {0: "holds", 1: "refuted", 2: "undecided"}[code]
    first, last = (done.stdout.strip().split("\n")[index] for index in (0, -1))
    assert first == last
    assert first.startswith(f"{verdict}: ")
    assert ("size is 3" in done.stdout) == ("1 claim holds" not in done.stdout) == (code != 0)
    assert (f"{size} slow" in done.stdout) == (code != 0)
    assert ("print(4)" in done.stdout) == (size == 4)
    done = cli(tmp_path, "check", "mine:Mine", "--set", f"size={size}", "--json", "--seed=7")
    assert done.returncode == code
    assert json.loads(done.stdout)["passed"] is (code != 1)
    assert json.loads(done.stdout)["claims"][0]["detail"] == f"{size} fast"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--all", "zgr"), "Give one estimator, or --all."),
        (("--all", "--set", "a=1"), "--set and --expect-failed go with one estimator"),
        (("zrg",), "There is no estimator 'zrg'. Did you mean"),
        (("zgr", "--claims", "is a valu3"), "There is no claim 'is a valu3'. Did you mean 'is a value'"),
        (("zgr", "--expect-failed", "is a valu=x"), "There is no claim 'is a valu'. Did you mean 'is a value'"),
        (("zgr", "--expect-failed", "is a value"), "write CLAIM=REASON"),
        (("zgr", "--seed", "-1"), "seed=-1: a seed is an integer"),
    ],
)
def test_a_wrong_choice_is_exit_code_3(tmp_path: Path, cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    done = cli(tmp_path, "check", *arguments)
    assert done.returncode == 3, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_claims_expectations_and_exit_codes(tmp_path: Path, cli: Cli) -> None:
    done = cli(tmp_path, "check", "zgr", "--claims", "is a value", "-v")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("holds: 1 of 1 claim of ZGR()")
    assert "frozen, hashable" in done.stdout
    done = cli(tmp_path, "check", "zgr", "--claims", "is a value", "--expect-failed", "is a value=never", "--json")
    assert done.returncode == 1
    written = json.loads(done.stdout)
    assert (written["exit_code"], written["claims"][0]["expected"]) == (1, "never")
    shown = cli(tmp_path, "check", "--help").stdout
    for code in ("0:", "1:", "2:", "3:"):
        assert code in shown


def test_version(tmp_path: Path, cli: Cli) -> None:
    done = cli(tmp_path, "version")
    assert done.stdout.startswith("estimlab 0.")
    assert cli(tmp_path, "--version").stdout == done.stdout.split()[1] + "\n"


def test_help_has_a_short_form_everywhere(tmp_path: Path, cli: Cli) -> None:
    assert cli(tmp_path, "-h").stdout == cli(tmp_path, "--help").stdout
    assert "Exit code 0" in cli(tmp_path, "check", "-h").stdout
