"""Where a table comes from: versions, machine, commit, time."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import estimlab
from estimlab.results.columns import Column, describe, field_columns
from estimlab.results.statements import Worded, tables_of
from estimlab.results.study import LoadedStudy

if TYPE_CHECKING:
    import pandas

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Written by estimlab itself after the numbers are known: they do not make the code that computes them "dirty".
_OUTPUTS = (":(exclude,top,glob)**/tables/**", ":(exclude,top,glob)**/figures/out/**")


def provenance(
    loaded: LoadedStudy,
    frame: pandas.DataFrame,
    infos: Sequence[dict[str, Any]],
    *,
    smoke: bool,
    elapsed: float,
    state: dict[str, Any],
) -> dict[str, Any]:
    """Everything that is known about how a table came to be.

    Args:
        loaded: the study.
        frame: its table.
        infos: what the store knows about each of its cells.
        smoke: whether this is the small version.
        elapsed: seconds since the command started; cells that were finished before cost nothing here.
        state: ``git_state`` when the command started.

    Raises:
        EstimlabError: a column or statistic that is not defined.
    """
    here = environment()
    answer = _answer(loaded, frame, smoke)
    return {
        "command": command(),
        "study": loaded.name,
        "question": loaded.study.question,
        "answer": answer.text,
        "rests_on": answer.rests_on,
        "smoke": smoke,
        "cells": len(infos),
        **state,
        **here,
        "device": _values(frame, "device") or ["cpu"],
        "dtype": _values(frame, "dtype") or ["float64"],
        "threads_per_cell": sorted({str(info["threads"]) for info in infos}),
        "seeds": _values(frame, "seed"),
        "cell_seconds": sum(info["wall_seconds"] for info in infos),
        "elapsed_seconds": elapsed,
        "created_at": now(),
        "computed_elsewhere": _others(infos, here | state),
        "columns": _definitions(frame.columns, loaded.study.columns, field_columns(_values(frame, "parameters"))),
        "statistics": _definitions(_values(frame, "statistic"), loaded.study.columns),
    }


def _answer(loaded: LoadedStudy, frame: pandas.DataFrame, smoke: bool) -> Worded:
    """What the table says; nothing is said of a small version where tables word the answer."""
    if smoke and not isinstance(loaded.study.answer, str):
        return Worded("None at smoke size.", "", ())
    return loaded.worded(tables_of(loaded.path.parent, {loaded.name: frame}))


@functools.cache
def environment() -> dict[str, Any]:
    """Versions and machine of this process."""
    packages = ("numpy", "torch", "pandas")
    return {
        "versions": {
            "estimlab": estimlab.__version__,
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "platform": platform.platform(),
        "processor": _processor(),
    }


def version(package: str) -> str | None:
    """Version of an installed package, which is not imported; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def threads() -> str | None:
    """Threads that this process allows a numerical library; None where nothing limits them."""
    return os.environ.get(THREAD_VARIABLES[0])


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_state(folder: Path) -> dict[str, Any]:
    """Commit of the repository that holds a folder, and whether its files differ from it; null outside of one."""
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", ":/", *_OUTPUTS)
    return {"commit": commit or None, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def command() -> str:
    """What was typed, without the folder in which the program is installed."""
    program = Path(sys.argv[0])
    by_module = program.parts[-2:] == ("cli", "__main__.py")
    return shlex.join(["estimlab" if by_module else program.name, *sys.argv[1:]])


def _processor() -> str:
    """Linux keeps the name where ``platform.processor`` does not look."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _others(infos: Iterable[dict[str, Any]], here: dict[str, Any]) -> list[dict[str, Any]]:
    """Environments, other than this one, in which cells of the table were computed, with the number of cells."""
    counted: list[dict[str, Any]] = []
    for info in infos:
        where = {name: info.get(name) for name in here}
        if where == here:
            continue
        for other in counted:
            if all(other[name] == where[name] for name in here):
                other["cells"] += 1
                break
        else:
            counted.append({**where, "cells": 1})
    return counted


def _values(frame: pandas.DataFrame, column: str) -> list[Any]:
    return frame[column].dropna().drop_duplicates().tolist() if column in frame else []


def _definitions(
    names: Iterable[str], extra: Iterable[Column], fields: Collection[str] = ()
) -> dict[str, dict[str, str]]:
    described = [describe(name, extra, fields) for name in names]
    return {one.name: {"symbol": one.symbol, "unit": one.unit, "meaning": one.meaning} for one in described}
