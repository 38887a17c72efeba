"""The wheel in an empty folder: studies with their tables and figures come with it, outputs go to that folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import BLOCKS, FILES

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "run quickstart --smoke": "studies/tables/smoke/quickstart.csv",
    "figure quickstart --smoke": "figures/out/smoke/quickstart.pdf",
    "figure depth": "figures/out/depth.pdf",
    "table quickstart --where layer=0": "| stage |",
    "list studies": "quickstart",
    "check zgr --claims finite": "holds: 1 of 1 claim",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the wheel's files."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT]
    subprocess.run(built, check=True)
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", site, *wheels.iterdir()], check=True)
    return site


@pytest.mark.slow
def test_the_wheel_serves_an_empty_folder(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "200"}
    for command, expected in COMMANDS.items():
        whole = [sys.executable, "-m", "estimlab.cli", *command.split()]
        done = subprocess.run(whole, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert expected in done.stdout, done.stdout
    assert (tmp_path / "studies/tables/smoke/quickstart.csv").is_file()
    assert not list((installed / "estimlab" / "shipped").rglob(".store"))
    assert (installed / "estimlab" / "py.typed").is_file()


@pytest.mark.slow
def test_the_python_blocks_of_readme_and_docs_run_with_the_wheel(installed, tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    program = "\n".join(block for block in BLOCKS if block not in FILES.values())
    (tmp_path / "blocks.py").write_text(f"{program}\nprint('from', el.__file__)\n")
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "blocks.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"from {installed}" in done.stdout
