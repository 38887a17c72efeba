"""The code of README and docs runs as printed, and their tables are those of the classes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from readme_tables import KINDS, PAGES, with_tables

import estimlab as el

TEXT = "\n".join(page.read_text() for page in PAGES)
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
FILES = {block[2:].partition("\n")[0]: block for block in BLOCKS if re.match(r"# \w+\.py\n", block)}
OWN = FILES["softened.py"]


def run_python(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def run_cli(*arguments, cwd):
    return run_python("-m", "estimlab.cli", *arguments, cwd=cwd)


def test_python_blocks_run_one_after_the_other(capsys, tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    names = {}
    for block in BLOCKS:
        if block not in FILES.values():
            exec(compile(block, "README.md", "exec"), names)
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (printed,) = re.findall(r"^```\n(StraightThrough.*?)```", TEXT, re.MULTILINE | re.DOTALL)
    head = r"head +\S+"  # its bias is rounding
    assert [re.sub(head, "head", line) for line in printed.splitlines()] == [re.sub(head, "head", s) for s in said[:7]]
    (shown,) = re.findall(r"^```\n( +estimator.*?)\n```", TEXT, re.MULTILINE | re.DOTALL)
    assert shown in "\n".join(said)
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


@pytest.mark.slow
def test_an_own_estimator_is_checked(own_file):
    done = run_cli("check", "softened.py:Softened", cwd=own_file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refuted" not in done.stdout


def test_an_own_estimator_is_swept(own_file):
    done = run_cli("run", "softened.py", cwd=own_file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "relative_bias\n" in done.stdout
    assert re.search(r"width +┃ layer 0 +┃ layer 1", done.stdout)
    drawn = run_cli("figure", "softened.py", cwd=own_file)
    assert drawn.returncode == 0, drawn.stderr
    assert (own_file / "figures" / "out" / "softened.pdf").is_file()
    table = pd.read_csv(own_file / "tables" / "softened.csv")
    assert set(table["width"]) == {0.5, 1.0, 2.0, 4.0}
    bias = table[(table["statistic"] == "relative_bias") & (table["layer"] == "0")].set_index("width")["value"]
    plain = el.exact_moments(el.problems.load("toy-late/v1"), el.StraightThrough()).statistics()
    assert bias[1.0] == pytest.approx(plain["0"]["relative_bias"][0], rel=1e-9)


@pytest.mark.slow
def test_a_false_claim_is_refuted(own_file):
    (own_file / "boastful.py").write_text(OWN.replace("exact_degree=0", "exact_degree=1"))
    done = run_cli("check", "boastful.py:Softened", cwd=own_file)
    assert done.returncode == 1
    assert "refuted" in done.stdout


@pytest.fixture
def doubled(tmp_path):
    for name in ("doubled.py", "test_doubled.py"):
        (tmp_path / name).write_text(FILES[name])
    return tmp_path


@pytest.mark.slow
def test_a_mistake_is_found_as_printed(doubled):
    done = run_cli("check", "doubled.py:Doubled", cwd=doubled)
    assert done.returncode == 1, done.stderr
    (printed,) = re.findall(r"^```\n(refuted: .*?)```", TEXT, re.MULTILINE | re.DOTALL)
    assert done.stdout.startswith(printed)
    program = done.stdout.partition("This shows it:\n")[2].partition("\nrefuted: ")[0]
    shown = run_python("-c", program, cwd=doubled)
    assert shown.returncode == 0, shown.stderr
    mean, truth = map(float, re.findall(r"tensor\(\[([^]]*)\]", shown.stdout))
    assert mean == pytest.approx(2 * truth, rel=1e-3)


@pytest.mark.slow
def test_the_mistake_fails_one_item_of_a_test_suite(doubled):
    done = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_doubled.py", cwd=doubled)
    assert done.returncode == 1, done.stdout
    assert re.search(r"\n1 failed, \d\d passed", done.stdout), done.stdout
    assert "FAILED test_doubled.py::test_doubled[Doubled()-exact within one layer, degree 1]" in done.stdout


def test_tables_are_up_to_date():
    held = []
    for page in PAGES:
        text, kinds = with_tables(page.read_text())
        assert text == page.read_text(), f"{page.name}: run `python tests/readme_tables.py`"
        held += kinds
    assert sorted(held) == sorted(KINDS)


def test_the_readme_can_be_read_in_a_sitting():
    assert len(PAGES[0].read_text().splitlines()) <= 170


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert link.startswith("http") or (page.parent / link).exists(), link
