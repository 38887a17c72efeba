"""What a study is: a question, and the cells that answer it."""

from __future__ import annotations

import abc
import html
import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from estimlab.declared import Declared
from estimlab.errors import EstimlabError, closest
from estimlab.results.columns import COLUMNS, FIELDS, STATISTICS, Column
from estimlab.results.identity import content_key, require_names
from estimlab.results.matrix import Matrix, usual
from estimlab.results.places import known_table, store_path, study_folders, table_path
from estimlab.results.statements import Statement, Tables, Worded, tables_of, worded

if TYPE_CHECKING:
    import pandas

_SOURCE = "__estimlab_source__"  # attribute of an executed study: its file and the time of its last change


@dataclass(frozen=True)
class Cell(Declared, abc.ABC):
    """One unit of work of a study: a frozen dataclass whose fields are its whole configuration.

    Fields hold numbers, strings, tuples and recipes (further frozen dataclasses), never modules, tensors or functions.
    Results are kept under ``key``; raise ``revision`` when ``run`` computes something else than before.

    >>> @dataclass(frozen=True)
    ... class Square(Cell):
    ...     number: float
    ...     def run(self):
    ...         return [{"value": self.number**2}]
    >>> Square(3.0).run(), Square(3.0).key == Square(2.0).key
    ([{'value': 9.0}], False)
    """

    revision: ClassVar[int] = 1

    @abc.abstractmethod
    def run(self) -> list[dict[str, Any]]:
        """Rows of the study's table: dictionaries from column name to text or number, all with the same columns."""

    @property
    def key(self) -> str:
        """Content key: equal for equal configurations of a class of the same name and revision."""
        return content_key(self)

    @property
    def title(self) -> str:
        """A short label for people."""
        return repr(self)


@dataclass(frozen=True, repr=False)
class Study(Declared):
    """A question and the cells that answer it.

    Attributes:
        question: one sentence that ends with a question mark.
        cells: the full study; its table has their rows in this order.
        smoke: a small version that runs in seconds and exercises the same code.
        answer: what the table says, once it is known: words, or statements that the table words
            (``estimlab.results.statements``).
        columns: definitions of columns and statistics that are not in ``estimlab.results.columns``; the names there
            keep their meaning in every table.
        derived: makes further rows of the table, such as means over seeds, from the rows of all cells.
        shows: what a run ends with: a matrix of the table, or a function from the table to pairs of a title and a data
            frame, where one matrix does not hold the answer. By default errors per layer, a row for all else that
            varies.

    >>> import estimlab as el
    >>> from estimlab.cells import ExactMoments, FrozenProblem
    >>> cells = tuple(ExactMoments(FrozenProblem("quadratic/v1"), one) for one in (el.StraightThrough(), el.ZGR()))
    >>> study = Study("Is ZGR less biased than ST?", cells, smoke=cells[:1])
    >>> len(study.chosen(smoke=False)), len(study.chosen(smoke=True))
    (2, 1)
    """

    question: str
    cells: tuple[Cell, ...]
    smoke: tuple[Cell, ...]
    answer: str | tuple[str | Statement, ...] = ""
    columns: tuple[Column, ...] = ()
    derived: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None
    shows: Matrix | Callable[[Any], list[tuple[str, Any]]] | None = None

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise EstimlabError("Study(question=''): write the question that the study answers, in one sentence.")
        for name, cells in (("cells", self.cells), ("smoke", self.smoke)):
            _check_cells(name, cells)
        require_names((*self.cells, *self.smoke))
        for column in self.columns:
            if column.name in COLUMNS | FIELDS | STATISTICS:
                raise EstimlabError(
                    f"Study(columns=...): {column.name!r} is defined in estimlab/results/columns.py and means the same "
                    "in every table. Use it as it is defined there, or give yours another name."
                )

    def __repr__(self) -> str:
        return f"Study: {self.question}\n{self.summary()}"

    def _repr_html_(self) -> str:
        return f"<p>Study: {html.escape(self.question)}</p>{self.summary().to_html()}"

    def summary(self) -> pandas.DataFrame:
        """A row per kind of cell: how many the full study has, and the small version."""
        import pandas

        counts = {name: Counter(type(cell).__name__ for cell in getattr(self, name)) for name in ("cells", "smoke")}
        return pandas.DataFrame(counts).fillna(0).astype(int).rename_axis("kind of cell")

    def answered(self, table: pandas.DataFrame, rows: int) -> list[tuple[str, pandas.DataFrame]]:
        """What is shown of the study's table, with titles.

        Args:
            table: full or small.
            rows: shown at most, where the study does not say what it shows.
        """
        if callable(self.shows):
            return self.shows(table)
        matrix = self.shows or usual(table)
        if matrix is None:
            return [(_cut(table, rows), table.head(rows))]
        found = matrix.frame(table)
        return [(matrix.title(), found)] if self.shows else [(f"{matrix.title()}{_cut(found, rows)}", found.head(rows))]

    def chosen(self, smoke: bool) -> tuple[Cell, ...]:
        """The cells of the smoke version or of the full one."""
        return self.smoke if smoke else self.cells


def _cut(frame: pandas.DataFrame, rows: int) -> str:
    """How much is not shown."""
    return f" (the first {rows} of {len(frame)} rows)" if len(frame) > rows else ""


def _check_cells(name: str, cells: Any) -> None:
    if not isinstance(cells, tuple) or not cells:
        raise EstimlabError(f"Study({name}=...) needs a tuple of at least one cell; it is {cells!r:.100}.")
    first: dict[str, int] = {}
    for index, cell in enumerate(cells):
        if not isinstance(cell, Cell):
            raise EstimlabError(f"Study: {name}[{index}] is {cell!r:.100}, not a subclass of estimlab.results.Cell.")
        if (earlier := first.setdefault(cell.key, index)) != index:
            raise EstimlabError(
                f"Study: {name}[{index}] and {name}[{earlier}] are the same cell, {cell.title}. Remove one of them."
            )


@dataclass(frozen=True)
class LoadedStudy:
    """A study and the file it comes from.

    >>> from estimlab.results import load_study
    >>> load_study("quickstart").table_path(smoke=True).name
    'quickstart.csv'
    """

    name: str
    study: Study
    path: Path

    @property
    def module(self) -> ModuleType:
        """The executed file."""
        return sys.modules[module_name(self.path)]

    def table_path(self, smoke: bool) -> Path:
        """Where the table is written."""
        return table_path(self.path, smoke)

    def known_table(self, smoke: bool) -> Path:
        """Where the table is: the one that was written, else the one that came with the study."""
        return known_table(self.path, smoke)

    def worded(self, tables: Tables | None = None) -> Worded:
        """The answer as its tables word it; by default those that lie beside the study."""
        return worded(self.study.answer, tables or tables_of(self.path.parent))

    def store_path(self, smoke: bool) -> Path:
        """Where finished cells are kept."""
        return store_path(self.path, smoke)


def module_name(path: Path) -> str:
    """The name under which a study's file is imported, the same in every process."""
    return f"estimlab_study_{path.stem}"


def load_study(name_or_path: str | Path, folder: str | Path | None = None) -> LoadedStudy:
    """Find and execute a study's file.

    Args:
        name_or_path: NAME of ``studies/NAME.py``, or the path of a ``.py`` file.
        folder: where to look for names; by default those of ``study_folders``.

    Raises:
        EstimlabError: an unknown study, or a file that cannot be executed or defines no ``STUDY``.

    >>> from estimlab.results import load_study
    >>> load_study("quickstart").study.question
    'How do the bias and the variance of each estimator compare, per layer, as a small network learns digits?'
    """
    path = find_study(name_or_path, folder)
    module = import_study(path)
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise EstimlabError(
            f"{path} defines no study. It needs a line STUDY = Study(question=..., cells=..., smoke=...)."
        )
    return LoadedStudy(path.stem, study, path)


def find_study(name_or_path: str | Path, folder: str | Path | None = None) -> Path:
    """The file of a study, not executed; arguments and errors as in ``load_study``."""
    text = str(name_or_path)
    folders = study_folders() if folder is None else (Path(folder),)
    is_path = text.endswith(".py") or "/" in text
    candidates = [Path(text)] if is_path else [place / f"{text}.py" for place in folders]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    available = [path.stem for path in list_studies(folders)]
    if not available:
        raise EstimlabError(
            f"There is no study {text!r}: studies lie in the folder 'studies' of the working directory, and here is "
            "none. Give the path of a .py file that defines STUDY."
        )
    raise EstimlabError(
        f"There is no study {text!r}.{closest(Path(text).stem, available)} "
        f"Available: {', '.join(available)} (in {', '.join(map(str, folders))}). "
        "Give one of these names, or the path of a .py file that defines STUDY."
    )


def list_studies(folders: Iterable[Path] | None = None) -> list[Path]:
    """Files of all studies, by name; a name in an earlier folder hides the same name in a later one."""
    found: dict[str, Path] = {}
    for place in study_folders() if folders is None else folders:
        for path in sorted(place.glob("[!_]*.py")):
            found.setdefault(path.stem, path)
    return [found[name] for name in sorted(found)]


def import_study(path: Path) -> ModuleType:
    """Execute a study's file under its stable name, so that its cells can be pickled; again only after a change."""
    name, changed = module_name(path), path.stat().st_mtime_ns
    module = sys.modules.get(name)
    if module is not None and getattr(module, _SOURCE, None) == (path, changed):
        return module
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    setattr(module, _SOURCE, (path, changed))
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # modules beside a study can be imported, as beside any script
    # Registered before it runs, as dataclasses and pickle look the module up by its name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise EstimlabError(f"The study {path} cannot be loaded. {type(error).__name__}: {error}") from error
    return module
