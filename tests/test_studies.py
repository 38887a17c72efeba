"""Every study at smoke size, and every figure from the smoke table, with torch blocked."""

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from estimlab.results.study import load_study
from estimlab.results.table import read_table

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.py"))
QUICK = "noise_law"  # the study that the fast tier runs
FIGURES = sorted(path.stem for path in (ROOT / "figures").glob("*.py"))
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


@pytest.mark.parametrize(
    "study", [pytest.param(study, marks=() if study == QUICK else pytest.mark.slow) for study in STUDIES]
)
def test_a_study_runs_at_smoke_size_and_its_figure_is_drawn_without_torch(study, folder):
    needed = NEEDS_DATA.get(study)
    if needed and not (Path(os.environ.get("ESTIMLAB_DATA", "")) / needed).is_file():
        pytest.skip(f"ESTIMLAB_DATA does not hold {needed}")
    run(folder, "-m", "estimlab.cli", "run", study, "--smoke")
    assert (folder / "studies/tables/smoke" / f"{study}.csv").stat().st_size > 1000
    if (folder / "figures" / f"{study}.py").is_file():
        run(folder, "-c", BLOCKED, "figure", study, "--smoke")
        drawn = list((folder / "figures/out/smoke").glob(f"{study}*.pdf"))  # NAME.pdf, or NAME-part.pdf for each part
        assert drawn
        assert min(path.stat().st_size for path in drawn) > 10_000


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_has_its_table_committed(study):
    for ending in ("csv", "json"):
        assert (ROOT / "studies/tables" / f"{study}.{ending}").is_file()


@pytest.mark.parametrize("study", STUDIES)
def test_a_table_carries_its_question_and_answer(study):
    record = json.loads((ROOT / "studies/tables" / f"{study}.json").read_text())
    ours = load_study(ROOT / "studies" / f"{study}.py").study
    assert ours.answer, "write Study(answer=...)"
    assert record["question"] == ours.question, "make sentences"


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_shows_what_its_table_holds(study):
    found = load_study(ROOT / "studies" / f"{study}.py")
    for title, frame in found.study.answered(read_table(found.table_path(smoke=False)), rows=20):
        assert isinstance(title, str)
        assert len(frame) > 1
        assert not frame.isna().all(axis=None)


@pytest.mark.slow
def test_committed_figures_are_those_of_the_committed_tables_drawn_without_torch(tmp_path):
    for name in ("studies", "figures"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("out", ".store", "smoke"))
    run(tmp_path, "-c", BLOCKED, "figure", "--all")
    for path in (ROOT / "studies/tables").glob("*.*"):
        assert (tmp_path / "studies/tables" / path.name).read_bytes() == path.read_bytes()
    drawn = {path.name: path for path in (tmp_path / "figures/out").iterdir()}
    assert set(drawn) == {path.name for path in (ROOT / "figures/out").iterdir() if path.is_file()}
    assert {f"{name}.md" for name in FIGURES} <= set(drawn)
    for name, path in drawn.items():
        committed = ROOT / "figures/out" / name
        if path.suffix == ".md":
            assert path.read_text() == committed.read_text()
        if path.suffix == ".pdf" and producer(path) == producer(committed):
            assert content(path) == content(committed), f"estimlab figure {path.stem}"


def producer(path):
    """Another version of Matplotlib may place things elsewhere."""
    return re.search(rb"/Producer.*", path.read_bytes())[0]


def content(path):
    """Everything that a PDF file draws, unpacked: compression differs between builds of zlib."""
    return [unpacked(stream) for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", path.read_bytes(), re.DOTALL)]


def unpacked(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return stream
