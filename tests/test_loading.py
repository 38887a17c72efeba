"""What a user may name on the command line, and what they are told where they name it wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

import estimlab as el
from estimlab.cli.loading import build_estimator

OWN = """\
import abc
from dataclasses import dataclass

import estimlab as el
from neighbour import WIDTH


@dataclass(frozen=True)
class Mine(el.HardForward):
    width: float = WIDTH

    def __post_init__(self):
        if self.width < 0:
            raise ValueError("too narrow")

    def derivative(self, a, bit, uniform, law):
        return law.density(a / self.width) / self.width


@dataclass(frozen=True)
class Demanding(Mine):
    width: float


class Unfinished(el.HardForward):
    pass


class Other:
    pass


narrow = Mine(0.5)
"""
FILES = {
    "mine.py": OWN.replace("    width: float\n", "    def __init__(self, width):\n        pass\n"),
    "neighbour.py": "WIDTH = 2.0",
    "broken.py": "x = 1\ndef f(:\n",
    "needy.py": "import no_such_package",
    "raising.py": "x = 0\ny = 1 / x",
    "leaving.py": "import sys\nsys.exit(3)",
    "notes.txt": "",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("mine", "neighbour", "needy", "raising"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize("module", ["mine", "mine.py", "./mine.py"])
def test_an_own_class_is_built(folder, module):
    assert repr(build_estimator(f"{module}:Mine", [])) == "Mine(width=2.0)"
    assert repr(build_estimator(f"{module}:Mine", ["width=3"])) == "Mine(width=3)"


def test_an_own_estimator_is_taken_as_it_is_or_with_other_fields(folder):
    assert repr(build_estimator("mine.py:narrow", [])) == "Mine(width=0.5)"
    assert repr(build_estimator("mine.py:narrow", ["width=4.0"])) == "Mine(width=4.0)"


def test_the_catalogue_goes_by_either_name():
    assert build_estimator("gumbel_rao", ["samples=3"]) == el.GumbelRao(samples=3)
    assert build_estimator("GumbelRao", []) == el.GumbelRao()


@pytest.mark.parametrize(
    ("target", "settings", "said"),
    [
        ("mien.py:Mine", [], r"There is no file mien\.py\. Did you mean 'mine\.py'"),
        ("mien:Mine", [], r"There is no module 'mien' here\."),
        ("needy.py:Mine", [], r"needy\.py cannot be imported\. ModuleNotFoundError.*no_such_package.*\(line 1: import"),
        ("needy:Mine", [], r"needy cannot be imported\. ModuleNotFoundError.*no_such_package"),
        ("broken.py:Mine", [], r"cannot be imported\. SyntaxError: .*line 2\): def f\(:"),
        ("raising.py:Mine", [], r"ZeroDivisionError: division by zero \(line 2: y = 1 / x\)"),
        ("leaving.py:Mine", [], r"leaving\.py cannot be imported\. SystemExit: 3 \(line 2"),
        ("./notes.txt:Mine", [], r"notes\.txt is no \.py file"),
        ("mine.py", [], r"write mine\.py:CLASS"),
        ("mine.py:", [], r"lacks the name of a class"),
        (":Mine", [], r"lacks the name of a class"),
        ("mine.py:Mnie", [], r"has no 'Mnie'\. Did you mean 'Mine'\? It defines the estimators Mine, .*narrow\."),
        ("mine.py:Other", [], r"Other of mine\.py is not an estimator\. It defines"),
        ("neighbour.py:WIDTH", [], r"It defines no estimator: derive a class from el\.HardForward"),
        ("mine.py:Unfinished", [], r"Unfinished is abstract: it lacks derivative\(\)\."),
        ("mine.py:Demanding", [], r"Demanding\(\): give width\. Its fields are width\."),
        ("mine.py:Mine", ["wdith=1"], r"no field 'wdith'\. Did you mean 'width'\? Its fields are width\."),
        ("zgr", ["width=1"], r"no field 'width'\. It has no fields\."),
        ("mine.py:Mine", ["width=-1"], r"\{'width': -1\}\. ValueError: too narrow"),
        ("mine.py:Mine", ["width"], r"--set 'width': write name=value"),
        ("zgrr", [], r"There is no estimator 'zgrr'\. Did you mean 'zgr'"),
        ("gumbel_rao", ["samples=0"], r"samples=0"),
    ],
)
def test_what_is_wrong_is_said(folder, target, settings, said):
    with pytest.raises(el.EstimlabError, match=said):
        build_estimator(target, settings)


def test_nothing_checked_is_an_exit_code_of_its_own(folder):
    done = subprocess.run(
        [sys.executable, "-m", "estimlab.cli", "check", "mien.py:Mine"],
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("There is no file mien.py.")


@pytest.mark.parametrize("name", ["colorsys", "xdist"])
def test_a_file_of_the_folder_does_not_replace_what_is_installed(folder, monkeypatch, name):
    """Neither a module of the standard library nor a package."""
    (folder / f"{name}.py").write_text("hidden = True")
    for loaded in [known for known in sys.modules if known.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    with pytest.raises(el.EstimlabError, match=rf"An installed module .* hides the file {name}\.py.*{name}\.py:Mine"):
        build_estimator(f"{name}:Mine", [])
    assert not hasattr(sys.modules[name], "hidden")
