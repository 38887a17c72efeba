"""The command line: run studies, draw figures, list what there is, check an estimator.

Torch and pandas are imported by the commands that need them, so that help and lists of studies are immediate.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from estimlab.errors import EstimlabError

if TYPE_CHECKING:
    import pandas

app = typer.Typer(
    name="estimlab",
    help="Exact bias and variance of gradient estimators for stochastic binary networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
SmokeOption = Annotated[bool, typer.Option("--smoke", help="The small version: seconds instead of hours.")]


@contextmanager
def _reported(debug: bool = False) -> Iterator[None]:
    """Errors for the user become one red paragraph and exit code 2; Ctrl-C a sentence and 130."""
    stderr = Console(stderr=True)
    try:
        yield
    except EstimlabError as error:
        if debug:
            raise
        stderr.print(Text(str(error), style="red"), soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt as interrupt:
        stderr.print(Text(str(interrupt) or "Interrupted."), soft_wrap=True)
        raise typer.Exit(130) from None


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="Name of a study (estimlab list studies), or path of a .py file.")],
    smoke: SmokeOption = False,
    workers: Annotated[int | None, typer.Option(help="Worker processes; one per core by default, 0: none.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, as tcp://a:8786.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows of the table to print where the study has no summary.")] = 20,
    debug: DebugOption = False,
) -> None:
    """Compute the cells of a study that are not finished yet, and write its table."""
    with _reported(debug), ExitStack() as stack:
        from estimlab.results.progress import for_terminal
        from estimlab.results.runner import run_study
        from estimlab.results.study import load_study

        loaded = load_study(study)
        executor = stack.enter_context(_cluster(scheduler)) if scheduler else None
        report = run_study(loaded, smoke=smoke, workers=workers, executor=executor, progress=for_terminal())
        summary = getattr(loaded.module, "summary", None)
        _print_frames(summary(report.table) if summary else report.table.head(rows))
        more = len(report.table) - rows
        if more > 0 and not summary:
            _say(f"... and {more} more rows")
        computed = f"{report.computed} computed now, {report.cells - report.computed} before"
        _say(f"cells       {report.cells} ({computed}), {report.elapsed:.1f} s")
        _say(f"table       {_short(report.table_path)}\nprovenance  {_short(report.provenance_path)}")


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    try:
        import distributed
    except ImportError as error:
        raise EstimlabError("--scheduler needs Dask: install it with pip install 'estimlab[cluster]'.") from error
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise EstimlabError(f"No Dask scheduler answers at {address!r} ({error}). Check the address.") from error
    with client:
        yield client.get_executor()


@app.command()
def figure(
    study: Annotated[str | None, typer.Argument(help="Name of a study, or path of its .py file.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every figure in the folder figures.")] = False,
    smoke: SmokeOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw figures from tables; nothing is computed."""
    with _reported(debug):
        if every == (study is not None):
            raise EstimlabError("Give the name of one study, or --all.")
        os.environ.setdefault("MPLBACKEND", "agg")  # files only: no display is needed
        failed = []
        for path in [_study_file(study)] if study else _figure_studies():
            try:
                _draw(path, smoke)
            except EstimlabError as error:
                failed.append(error)
        if failed:
            raise failed[0] if len(failed) == 1 else EstimlabError("\n".join(map(str, failed)))


def _study_file(study: str) -> Path:
    from estimlab.results.study import find_study

    return find_study(study)


def _figure_studies() -> list[Path]:
    """Files of this project's studies that have a figure."""
    from estimlab.results.study import list_studies, study_folders

    here = study_folders()[:1]  # this project's; another one's figures are not drawn from afar
    paths = [path for path in list_studies(here) if (path.parent.parent / "figures" / path.name).is_file()]
    if not paths:
        where = here[0] if here else Path.cwd() / "studies"
        raise EstimlabError(f"No study in {where} has a figure of its name in the folder figures beside it.")
    return paths


def _draw(study: Path, smoke: bool) -> None:
    from estimlab.results.plotting import draw_figure
    from estimlab.results.study import table_path

    folder = study.parent.parent / "figures"
    out = folder / "out" / ("smoke" if smoke else "")
    for path in draw_figure(study.stem, table_path(study, smoke), out, folder):
        _say(_short(path))


@app.command("list")
def list_(
    what: Annotated[str | None, typer.Argument(help="estimators, studies, ...; everything by default.")] = None,
    debug: DebugOption = False,
) -> None:
    """List estimators, studies, problems, references, objectives and noise laws."""
    with _reported(debug):
        from estimlab.listing import KINDS, listing

        for kind in [what] if what else KINDS:
            header, lines = listing(kind)
            _print_table(kind, header, lines)


@app.command()
def check(
    target: Annotated[str, typer.Argument(help="MODULE:CLASS, PATH.py:CLASS, or the name of an estimator.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="A field: temperature=0.5; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: DebugOption = False,
) -> None:
    """Test what an estimator claims; exit code 1 where a claim fails."""
    with _reported(debug):
        from estimlab.loading import build_estimator

        estimator = build_estimator(target, settings or [])
        from estimlab.checks import check_estimator

        report = check_estimator(estimator, strict=False)
        if as_json:
            claims = [{"claim": str(a), "verdict": str(b), "detail": str(c)} for a, b, c in report.rows]
            print(json.dumps({"estimator": repr(estimator), "passed": bool(report.passed), "claims": claims}, indent=2))
        else:
            _print_table(repr(estimator), ("claim", "verdict", "detail"), report.rows)
            _say("passed" if report.passed else "FAILED")
        if not report.passed:
            raise typer.Exit(1)


@app.command()
def version() -> None:
    """Versions of estimlab, Python and torch."""
    from estimlab.results.provenance import environment

    for name, number in environment()["versions"].items():
        _say(f"{name} {number or 'not installed'}")


def _print_frames(frames: Any) -> None:
    """A data frame, or pairs of a title and a data frame."""
    for title, frame in frames if isinstance(frames, list) else [("", frames)]:
        _print_table(title, tuple(map(str, frame.columns)), _cells(frame))


def _cells(frame: pandas.DataFrame) -> list[list[str]]:
    return [[_shown(value) for value in row] for row in frame.itertuples(index=False, name=None)]


def _shown(value: Any) -> str:
    """Floats to five digits, missing values as nothing."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.5g}"
    return "" if str(value) == "<NA>" else str(value)


def _print_table(title: str, header: tuple[str, ...], lines: Any) -> None:
    table = Table(title=Text(title) if title else None, title_justify="left")
    rows = [[str(value) for value in line] for line in lines]
    # Names stay whole, as they are there to be copied.
    table.add_column(Text(header[0]), overflow="fold", min_width=min(24, max((len(row[0]) for row in rows), default=0)))
    for name in header[1:]:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    # In a file or a pipe nothing forces lines to be short.
    console.print(table, width=None if console.is_terminal else 1000)


def _say(text: str) -> None:
    Console().print(Text(text), soft_wrap=True)


def _short(path: Path) -> str:
    """Relative to the working directory where the file lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    sys.exit(app())
