"""Every study at smoke size, and every figure from the smoke table, with torch blocked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.py"))
NEEDS_DATA = {"published_toy": "psa_toy/epoch100.npz"}
BLOCKED = "import sys; sys.modules['torch'] = None; from estimlab.cli import app; app()"


@pytest.fixture
def folder(tmp_path):
    for name in ("studies", "figures"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("tables", "out", ".store"))
    return tmp_path


def run(folder, *command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_runs_at_smoke_size_and_its_figure_is_drawn_without_torch(study, folder):
    needed = NEEDS_DATA.get(study)
    if needed and not (Path(os.environ.get("ESTIMLAB_DATA", "")) / needed).is_file():
        pytest.skip(f"ESTIMLAB_DATA does not hold {needed}")
    run(folder, "-m", "estimlab.cli", "run", study, "--smoke")
    assert (folder / "studies/tables/smoke" / f"{study}.csv").stat().st_size > 1000
    if (folder / "figures" / f"{study}.py").is_file():
        run(folder, "-c", BLOCKED, "figure", study, "--smoke")
        assert (folder / "figures/out/smoke" / f"{study}.pdf").stat().st_size > 10_000


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_has_its_table_committed(study):
    for ending in ("csv", "json"):
        assert (ROOT / "studies/tables" / f"{study}.{ending}").is_file()
