"""Keys without modules, and the one migration of what was kept under keys with modules."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, make_dataclass
from pathlib import Path

import pytest
from results_toys import ran

import estimlab
import estimlab as el
from estimlab.cells import ExactMoments, FrozenProblem, MonteCarloMoments, TrainingRun
from estimlab.errors import EstimlabError
from estimlab.results import Cell, Study, content_key
from estimlab.results.former_keys import former_key
from estimlab.results.runner import run_study
from estimlab.results.store import APPLICATION, SCHEMA, Store
from estimlab.results.study import load_study
from estimlab.training.configuration import Configuration
from estimlab.training.recipes.digits import Digits

Write = Callable[..., Path]
TOY = FrozenProblem("toy-late/v1")

# As the last version with modules in its keys printed them.
FORMER = {
    "9c21944d372db5a692dce3e7d3d0b8af": ExactMoments(TOY, el.StraightThrough("identity")),
    "e285195034f3e94cc7a8a52f00337532": MonteCarloMoments(TOY, el.IWST(), (10,), draws=5),
    "e8b394b6256445980795dface3aee768": TrainingRun(Digits(epochs=2), el.GumbelSoftmax(0.5), 3),
    "8de37216d10c48d8e34ba296482d8d08": Configuration(Digits(epochs=2), el.ZGR(), 1),
}


def write_former_store(path: Path, cells: list[tuple[str, str, str, str]]) -> None:
    """A store of the first format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cells (key TEXT PRIMARY KEY, cell TEXT, rows TEXT, info TEXT) WITHOUT ROWID")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute("PRAGMA user_version = 1")
        connection.executemany("INSERT INTO cells VALUES (?, ?, ?, ?)", cells)
    connection.close()


@pytest.mark.parametrize("key", FORMER)
def test_former_keys_are_what_they_were(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr(type(FORMER[key]), "revision", 1, raising=False)  # a later one computes something else
    assert former_key(FORMER[key]) == key


@pytest.mark.parametrize("module", ["estimlab.cells.measured", "estimlab.studying.cells"])
def test_keys_do_not_contain_modules(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    cell = ExactMoments(TOY, el.ZGR())
    key, former = content_key(cell), former_key(cell)
    monkeypatch.setattr(ExactMoments, "__module__", module)
    assert content_key(cell) == key
    assert former_key(cell) == former


def test_a_class_outside_of_the_package_is_another_one() -> None:
    mine = make_dataclass("ZGR", [], frozen=True)
    assert content_key(mine()) != content_key(
        make_dataclass("ZGR", [], frozen=True, namespace={"__module__": "estimlab.x"})()
    )
    assert content_key(mine()) == content_key(make_dataclass("ZGR", [], frozen=True)())


def test_names_of_the_package_tell_its_classes_apart() -> None:
    names: Counter[str] = Counter()
    for found in pkgutil.walk_packages(estimlab.__path__, "estimlab."):
        module = importlib.import_module(found.name)
        own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == found.name]
        names.update(one.__qualname__ for one in own if is_dataclass(one) and not inspect.isabstract(one))
    assert len(names) > 50
    assert {name for name, count in names.items() if count > 1} == set()


@dataclass(frozen=True)
class Holder(Cell):
    inner: object

    def run(self) -> list[dict]:
        return [{"value": 1.0}]


def test_a_study_refuses_two_classes_of_one_name() -> None:
    one, other = (make_dataclass("Inner", [("a", int)], frozen=True) for _ in range(2))
    assert len(Study("?", (Holder(one(1)), Holder((one(2),))), (Holder(one(1)),)).cells) == 2
    with pytest.raises(EstimlabError, match=r"Two classes are called Inner: one of the module .*another name"):
        Study("?", (Holder(one(1)), Holder((1, other(2)))), (Holder(one(1)),))
    with pytest.raises(EstimlabError, match="Two classes are called Inner"):
        Study("?", (Holder(one(1)),), (Holder(other(1)),))


def test_a_store_of_the_first_format_is_migrated_and_its_results_are_kept(write_study: Write) -> None:
    home = write_study("Toy(1), Toy(2), Toy(3)")
    loaded = load_study(home / "studies/toy.py")
    undisturbed = run_study(loaded, workers=0)
    with Store.open(undisturbed.store_path) as store:
        kept = [
            (former_key(cell), repr(cell), store.rows(cell.key), store.info(cell.key)) for cell in loaded.study.cells
        ]
    table = undisturbed.table_path.read_bytes()
    undisturbed.store_path.unlink()
    write_former_store(undisturbed.store_path, [(*one[:2], *map(json.dumps, one[2:])) for one in kept[:2]])
    before = ran(home)

    assert run_study(loaded, workers=0).computed == 1
    assert undisturbed.table_path.read_bytes() == table
    assert [number for number, _ in ran(home)[len(before) :]] == [3]
    with Store.open(undisturbed.store_path) as store:
        assert store.finished() == {cell.key for cell in loaded.study.cells}
    assert run_study(loaded, workers=0).computed == 0


def test_cells_that_the_study_lacks_now_wait_for_it(write_study: Write) -> None:
    home = write_study("Toy(1)")
    loaded = load_study(home / "studies/toy.py")
    two = load_study(write_study("Toy(1), Toy(2)", "there") / "studies/toy.py").study.cells[1]
    loaded = load_study(home / "studies/toy.py")
    rows = [{"seed": 2, "estimator": "zgr", "parameters": "", "statistic": "mse", "value": 7.0, "stderr": None}]
    info = {"wall_seconds": 1.0, "threads": "1"}
    place = loaded.store_path(smoke=False)
    write_former_store(place, [(former_key(two), "Toy(2)", json.dumps(rows), json.dumps(info))])
    run_study(loaded, workers=0)
    write_study("Toy(1), Toy(2)")
    report = run_study(load_study(home / "studies/toy.py"), workers=0)
    assert report.computed == 0
    assert report.table["value"].iloc[-1] == 7.0


def test_a_kill_in_the_migration_leaves_the_old_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.sqlite"
    write_former_store(path, [(f"k{number}", "", "[]", "{}") for number in range(20)])
    before = path.read_bytes()

    def stop(content: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("estimlab.results.store.checksum", stop)
    with pytest.raises(KeyboardInterrupt):
        Store.open(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    with Store.open(path) as store:
        assert len(store.finished()) == 20
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    connection.close()


def test_a_store_serves_one_study(write_study: Write) -> None:
    home = write_study("Toy(1)")
    write_study("Toy(1)", name="other")
    place = run_study(load_study(home / "studies/toy.py"), workers=0).store_path
    with pytest.raises(EstimlabError, match="is the store of the study 'toy'; give the study 'other' a store"):
        run_study(load_study(home / "studies/other.py"), workers=0, store=place)
