"""Where studies, their tables and their figures lie: in a project's folders, or in the installed package.

A project is a folder that holds ``studies`` and ``figures``: the working directory, or the repository. An installed
package carries the repository's, as they were committed; what is computed from those goes to the working directory.
"""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[1] / "shipped"  # in an installed package alone; see pyproject.toml


def study_folders() -> tuple[Path, ...]:
    """``studies`` of the working directory, of the repository that this package lies in, and of the package."""
    projects = (Path.cwd(), Path(__file__).resolve().parents[2], SHIPPED)
    folders = (project / "studies" for project in projects)
    return tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def written_to(study: Path) -> Path:
    """The folder in which table and store of the study in a file are written: its own, if it is not the package's."""
    return Path.cwd() / "studies" if study.parent.parent == SHIPPED else study.parent


def table_path(study: Path, smoke: bool) -> Path:
    """Where the table of the study in a file is written: ``tables/NAME.csv``, or ``tables/smoke/NAME.csv``."""
    return _table(written_to(study), study, smoke)


def known_table(study: Path, smoke: bool) -> Path:
    """The table that was written, else the one that came with the study; the first where there is none."""
    written = table_path(study, smoke)
    candidates = (written, _table(study.parent, study, smoke))
    return next((path for path in candidates if path.is_file()), written)


def _table(folder: Path, study: Path, smoke: bool) -> Path:
    return folder / "tables" / ("smoke" if smoke else "") / f"{study.stem}.csv"


def store_path(study: Path, smoke: bool) -> Path:
    """Where finished cells are kept."""
    return written_to(study) / ".store" / f"{study.stem}{'.smoke' if smoke else ''}.sqlite"


def figure_folder(study: Path) -> Path:
    """``figures`` beside the folder ``studies`` of a project, or beside a study that lies elsewhere.

    The other one of the two where the study's figure is defined only there.
    """
    beside, own = study.parent.parent / "figures", study.parent / "figures"
    first, other = (beside, own) if study.parent.name == "studies" else (own, beside)
    return other if (other / study.name).is_file() and not (first / study.name).is_file() else first


def drawn_to(study: Path, smoke: bool) -> Path:
    """The folder in which a study's figure and caption are written."""
    folder = Path.cwd() / "figures" if study.parent.parent == SHIPPED else figure_folder(study)
    return folder / "out" / ("smoke" if smoke else "")
