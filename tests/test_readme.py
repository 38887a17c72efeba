"""The README's code runs as printed, and its tables are those of the classes."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from readme_tables import README, with_tables

import estimlab as el

BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
OWN = next(block for block in BLOCKS if block.startswith("# softened.py"))


def run_cli(*arguments, cwd):
    command = [sys.executable, "-m", "estimlab.cli", *arguments]
    environment = {**__import__("os").environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_python_blocks_run_one_after_the_other(capsys):
    names = {}
    for block in BLOCKS:
        if block != OWN:
            exec(compile(block, "README.md", "exec"), names)
    assert "relative_bias" in capsys.readouterr().out
    assert names["truth"].exact
    assert names["exact"].statistics()["head"]["relative_bias"][0] == pytest.approx(0, abs=1e-12)
    assert set(names["why"].table()["statistic"]) >= {"bias_share", "cancellation"}
    assert names["model"][0].weight.grad is not None


@pytest.fixture
def own_file(tmp_path):
    (tmp_path / "softened.py").write_text(OWN)
    return tmp_path


def test_an_own_estimator_takes_less_than_25_lines():
    assert len([line for line in OWN.splitlines() if line.strip()]) < 25


def test_an_own_estimator_is_checked(own_file):
    done = run_cli("check", "softened.py:Softened", cwd=own_file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refuted" not in done.stdout


def test_an_own_estimator_is_swept(own_file):
    done = run_cli("run", "softened.py", cwd=own_file)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(own_file / "tables" / "softened.csv")
    assert set(table["parameters"]) == {f"width={width}" for width in (0.5, 1.0, 2.0, 4.0)}
    bias = table[(table["statistic"] == "relative_bias") & (table["layer"] == "0")].set_index("parameters")["value"]
    plain = el.exact_moments(el.problems.load("toy-late/v1"), el.StraightThrough()).statistics()
    assert bias["width=1.0"] == pytest.approx(plain["0"]["relative_bias"][0], rel=1e-9)


def test_a_false_claim_is_refuted(own_file):
    claimed = OWN.replace("    width: float", "    exact_degree: ClassVar[float] = 1\n    width: float")
    claim = f"from typing import ClassVar\n{claimed}"
    (own_file / "boastful.py").write_text(claim)
    done = run_cli("check", "boastful.py:Softened", cwd=own_file)
    assert done.returncode == 1
    assert "refuted" in done.stdout


def test_tables_are_up_to_date():
    assert with_tables(README.read_text()) == README.read_text(), "run `python tests/readme_tables.py`"
