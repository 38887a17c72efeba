from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from results_toys import Number

from estimlab.errors import EstimlabError
from estimlab.results import places
from estimlab.results.columns import COLUMNS, STATISTICS, Column, describe
from estimlab.results.places import figure_folder
from estimlab.results.study import Study, list_studies, load_study


def test_a_study_is_checked_at_construction() -> None:
    assert Study("?", (Number(1),), (Number(0),)).chosen(smoke=True) == (Number(0),)
    with pytest.raises(EstimlabError, match=r"cells\[2\] and cells\[0\] are the same cell, Number\(number=1\)"):
        Study("?", (Number(1), Number(2), Number(1)), (Number(0),))
    with pytest.raises(EstimlabError, match=r"smoke=.* at least one cell"):
        Study("?", (Number(1),), ())
    with pytest.raises(EstimlabError, match="write the question"):
        Study(" ", (Number(1),), (Number(0),))
    with pytest.raises(EstimlabError, match="number must be an integer"):
        Study("?", (Number(float("nan")),), (Number(0),))  # type: ignore[arg-type]
    for name in ("low", "variance"):
        with pytest.raises(EstimlabError, match=f"'{name}' is defined in estimlab/results/columns.py"):
            Study("?", (Number(1),), (Number(0),), columns=(Column(name, "", "1", "something else"),))


def test_load_by_name_and_by_path(write_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    home = write_study("Toy(1), Toy(2)")
    monkeypatch.chdir(home)
    by_name, by_path = load_study("toy"), load_study(home / "studies" / "toy.py")
    assert by_name == by_path == load_study("toy", home / "studies")
    cell = by_name.study.cells[0]
    assert type(cell).__module__ == "estimlab_study_toy"
    assert pickle.loads(pickle.dumps(cell)) == cell
    assert by_name.table_path(smoke=False) == home / "studies" / "tables" / "toy.csv"
    assert by_name.table_path(smoke=True) == home / "studies" / "tables" / "smoke" / "toy.csv"
    assert by_name.store_path(smoke=True) != by_name.store_path(smoke=False)


def test_same_name_elsewhere_and_changed_files_are_executed_again(write_study: Callable[..., Path]) -> None:
    one, other = write_study("Toy(1)", "one") / "studies/toy.py", write_study("Toy(21)", "other") / "studies/toy.py"
    assert [load_study(path).study.cells[0].number for path in (one, other, one)] == [1, 21, 1]  # type: ignore[attr-defined]
    write_study("Toy(12345)", "one")
    os.utime(one, ns=(0, 0))
    assert load_study(one).study.cells[0].number == 12345  # type: ignore[attr-defined]


def test_unknown_study_lists_what_there_is(write_study: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    home = write_study("Toy(1)", name="temperature")
    write_study("Toy(1)", name="depth")
    monkeypatch.chdir(home)
    assert [path.stem for path in list_studies([home / "studies"])] == ["depth", "temperature"]
    said = r"no study 'temprature'\. Did you mean 'temperature'.*\? Available: .*depth"
    with pytest.raises(EstimlabError, match=said):
        load_study("temprature")
    with pytest.raises(EstimlabError, match=r"no study 'no/where\.py'"):
        load_study("no/where.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "defines no study"),
        ("import nothing_of_this_name", "cannot be loaded. ModuleNotFoundError.*nothing_of_this_name"),
        ("def (", "cannot be loaded. SyntaxError"),
        ("from estimlab.results import Study\nSTUDY = Study('?', (), ())", "at least one cell"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(EstimlabError, match=message):
        load_study(tmp_path / "broken.py")


def test_columns_are_described() -> None:
    assert describe("value") is COLUMNS["value"]
    assert describe("relative_bias") is STATISTICS["relative_bias"]
    assert not COLUMNS.keys() & STATISTICS.keys()
    own = Column("accuracy", "accuracy", "1", "share of test images")
    assert describe("accuracy", (own,)) is own
    with pytest.raises(EstimlabError, match=r"statistic 'relativ_bias'\. Did you mean 'relative_bias'"):
        describe("relativ_bias")


def test_symbols_are_valid_mathtext() -> None:
    from matplotlib.mathtext import MathTextParser

    for column in [*COLUMNS.values(), *STATISTICS.values()]:
        MathTextParser("path").parse(column.symbol)


def test_a_folder_without_studies_says_where_they_are(tmp_path):
    with pytest.raises(EstimlabError, match=r"There is no study 'quickstart': .* Give the path of a .py file"):
        load_study("quickstart", tmp_path)


def test_a_figure_lies_beside_the_studies_or_beside_its_study(tmp_path):
    project, alone = tmp_path / "studies" / "toy.py", tmp_path / "toy.py"
    assert figure_folder(project) == figure_folder(alone) == tmp_path / "figures"
    elsewhere = tmp_path / "mine" / "toy.py"
    assert figure_folder(elsewhere) == tmp_path / "mine" / "figures"
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "toy.py").write_text("")
    assert figure_folder(project) == figure_folder(alone) == tmp_path / "figures"
    assert figure_folder(elsewhere) == tmp_path / "figures"  # it is defined there alone
    (tmp_path / "mine" / "figures").mkdir(parents=True)
    (tmp_path / "mine" / "figures" / "toy.py").write_text("")
    assert figure_folder(elsewhere) == tmp_path / "mine" / "figures"


def test_outputs_of_a_study_of_the_package_go_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "SHIPPED", tmp_path / "package")
    shipped, own = tmp_path / "package" / "studies" / "toy.py", tmp_path / "elsewhere" / "toy.py"
    came_along = shipped.parent / "tables" / "toy.csv"
    came_along.parent.mkdir(parents=True)
    came_along.write_text("")
    written = tmp_path / "studies" / "tables" / "toy.csv"
    assert (places.table_path(shipped, False), places.known_table(shipped, False)) == (written, came_along)
    assert places.store_path(shipped, True) == tmp_path / "studies" / ".store" / "toy.smoke.sqlite"
    assert places.drawn_to(shipped, False) == tmp_path / "figures" / "out"
    written.parent.mkdir(parents=True)
    written.write_text("")
    assert places.known_table(shipped, False) == written
    assert places.table_path(own, False) == own.parent / "tables" / "toy.csv"
