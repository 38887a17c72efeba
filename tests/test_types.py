"""What editors and type checkers see of the public names, which are loaded lazily."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """\
import estimlab as el

problem = el.problems.load("toy-late/v1")
measured = el.measure(problem, el.ZGR(), draws=4096)
values: dict[str, float] = {layer: pair[0] for layer, pair in measured.rmse_of_mean(100).items()}
"""
MISTAKES = {
    'el.measure(problem, el.ZGR(), draws="many")': "arg-type",
    'el.GumbelRao(temperature="hot")': "arg-type",
    "el.GumbelRao(tau=3.0)": "call-arg",
    "el.NoSuchName()": "attr-defined",
    "number: int = el.exact_moments(problem, el.ZGR())": "assignment",
}


@pytest.mark.slow
def test_mypy_finds_planted_mistakes_in_a_program_elsewhere_and_no_others(tmp_path):
    (tmp_path / "right.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(PROGRAM + "\n".join(MISTAKES) + "\n")
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports"]
    assert (ROOT / "estimlab" / "py.typed").is_file()
    done = {
        name: subprocess.run([*command, name], cwd=tmp_path, env=environment, capture_output=True, text=True)
        for name in ("right.py", "wrong.py")
    }
    assert done["right.py"].returncode == 0, done["right.py"].stdout
    first = len(PROGRAM.splitlines()) + 1
    expected = [f"wrong.py:{first + number}: [{code}]" for number, code in enumerate(MISTAKES.values())]
    lines = [line.split() for line in done["wrong.py"].stdout.splitlines() if ": error:" in line]
    assert [f"{line[0]} {line[-1]}" for line in lines] == expected, done["wrong.py"].stdout
