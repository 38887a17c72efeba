"""The command line: run studies, draw figures, list what there is, check an estimator.

Torch and pandas are imported by the commands that need them, so that help and lists of studies are immediate.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand

import estimlab
from estimlab.cli.terminal import print_frames, print_lines, print_table, say, short, shown, status
from estimlab.errors import EstimlabError, Terminated
from estimlab.progress import track

app = typer.Typer(
    name="estimlab",
    help="Exact bias and variance of gradient estimators for stochastic binary networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
SmokeOption = Annotated[bool, typer.Option("--smoke", help="The small version: seconds instead of hours.")]


def _say_version(asked: bool) -> bool:
    if asked:
        say(estimlab.__version__)
        raise typer.Exit
    return asked


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="The version of estimlab.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Exact bias and variance of gradient estimators for stochastic binary networks."""


@contextmanager
def _reported(debug: bool = False, code: int = 2) -> Iterator[None]:
    """Errors for the user become one red paragraph and an exit code; Ctrl-C a sentence and 130, SIGTERM 143."""
    stderr = Console(stderr=True)
    try:
        with _terminable():
            yield
    except EstimlabError as error:
        if debug:
            raise
        stderr.print(Text(str(error), style="red"), soft_wrap=True)
        raise typer.Exit(code) from None
    except KeyboardInterrupt as interrupt:
        stderr.print(Text(str(interrupt) or "Interrupted."), soft_wrap=True)
        raise typer.Exit(143 if isinstance(interrupt, Terminated) else 130) from None


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does; where the parent ignores SIGINT (nohup, &) it is the only way."""

    def terminate(number: int, frame: Any) -> None:
        raise Terminated

    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="Name of a study (estimlab list studies), or path of a .py file.")],
    smoke: SmokeOption = False,
    workers: Annotated[int | None, typer.Option(help="Worker processes; one per core by default, 0: none.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler that you trust, as tcp://a:8786 or tls://a:8786.")
    ] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="Of a scheduler with TLS: the authority's certificate.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Our certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows to print at most, if the study does not say.")] = 20,
    answer_only: Annotated[bool, typer.Option("--answer-only", help="Only renew the answer beside the table.")] = False,
    debug: DebugOption = False,
) -> None:
    """Compute the cells of a study that are not finished yet, and write its table."""
    with _reported(debug), ExitStack() as stack:
        from estimlab.results.cluster import Tls, cluster
        from estimlab.results.runner import run_study
        from estimlab.results.study import load_study
        from estimlab.results.study_progress import for_terminal
        from estimlab.results.table import rewrite_answer

        loaded = load_study(study)
        if answer_only:
            found = loaded.worded()
            sidecar = rewrite_answer(loaded.table_path(smoke), loaded.study.question, found.text, found.rests_on)
            say(f"provenance  {short(sidecar)}")
            return
        tls = Tls(tls_ca, tls_cert, tls_key)
        if tls.ca and not scheduler:
            raise EstimlabError("--tls-ca, --tls-cert and --tls-key belong to --scheduler tls://HOST:PORT.")
        executor = stack.enter_context(cluster(scheduler, tls)) if scheduler else None
        report = run_study(loaded, smoke=smoke, workers=workers, executor=executor, progress=for_terminal())
        before = report.cells - report.computed - report.shared
        meanwhile = f"{report.shared} meanwhile by another run, " if report.shared else ""
        computed = f"{report.computed} computed now, {meanwhile}{before} before"
        say(f"cells       {report.cells} ({computed}), {report.elapsed:.1f} s")
        say(f"table       {short(report.table_path)}\nprovenance  {short(report.provenance_path)}")
        print_frames(loaded.study.answered(report.table, rows))


@app.command()
def figure(
    study: Annotated[str | None, typer.Argument(help="Name of a study, or path of its .py file.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every figure in the folder figures.")] = False,
    smoke: SmokeOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw figures from tables; nothing is computed. Without figures/NAME.py a study has a plain one of its errors."""
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
    from estimlab.results.places import figure_folder, study_folders
    from estimlab.results.study import list_studies

    here = study_folders()[:1]  # this project's; another one's figures are not drawn from afar
    paths = [path for path in list_studies(here) if (figure_folder(path) / path.name).is_file()]
    if not paths:
        where = here[0] if here else Path.cwd() / "studies"
        raise EstimlabError(f"No study in {where} has a figure of its name in the folder figures beside it.")
    return paths


def _draw(study: Path, smoke: bool) -> None:
    from estimlab.files import require_writable
    from estimlab.results.caption import write_caption
    from estimlab.results.overview import overview_of
    from estimlab.results.places import drawn_to, figure_folder, known_table
    from estimlab.results.plotting import draw_figure

    table, out = known_table(study, smoke), drawn_to(study, smoke)
    require_writable(*(out / f"{study.stem}.{ending}" for ending in ("pdf", "png", "md")))
    written = draw_figure(study.stem, table, out, figure_folder(study), overview_of(table))
    for path in [*written, write_caption(table, out / f"{study.stem}.md")]:
        say(short(path))


@app.command()
def table(
    study: Annotated[str, typer.Argument(help="Name of a study, or path of its .py file.")],
    style: Annotated[str, typer.Option("--format", help="latex (booktabs), markdown or csv.")] = "markdown",
    columns: Annotated[
        str, typer.Option(help="Columns and statistics to show, by commas; by default all that vary.")
    ] = "",
    where: Annotated[list[str] | None, typer.Option(help="Only rows with COLUMN=VALUE[,VALUE]; repeatable.")] = None,
    smoke: SmokeOption = False,
    debug: DebugOption = False,
) -> None:
    """Print a study's table for a paper: a column per statistic, standard errors as in 0.12(3)."""
    with _reported(debug):
        from estimlab.results.export import export_table
        from estimlab.results.places import known_table

        names = [name.strip() for name in columns.split(",") if name.strip()]
        typer.echo(export_table(known_table(_study_file(study), smoke), style, names, where or []), nl=False)


@app.command("list")
def list_(
    what: Annotated[str | None, typer.Argument(help="estimators, studies, ...; everything by default.")] = None,
    debug: DebugOption = False,
) -> None:
    """List estimators, studies, problems, references, objectives and noise laws."""
    with _reported(debug):
        from estimlab.cli.listing import KINDS, listing

        for kind in [what] if what else KINDS:
            header, lines = listing(kind)
            print_table(kind, header, lines)


@app.command()
def check(
    target: Annotated[str | None, typer.Argument(help="Name of an estimator, PATH.py:CLASS or MODULE:CLASS.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A field: temperature=0.5; repeatable.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every estimator of the catalogue, in parallel.")] = False,
    claims: Annotated[
        list[str] | None, typer.Option("--claims", help="Judge these only: a claim or its first words; repeatable.")
    ] = None,
    expected: Annotated[
        list[str] | None, typer.Option("--expect-failed", help="CLAIM=REASON: it may fail, and must; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what holds, and every program.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: DebugOption = False,
) -> None:
    """Test what an estimator claims.

    Exit code 0: every claim holds, or fails as expected; 1: a claim is refuted, or holds though it was expected to
    fail; 2: neither, but one is undecided; 3: nothing was judged, as the input is wrong.
    """
    with _reported(debug, code=3):
        if every == (target is not None):
            raise EstimlabError("Give one estimator, or --all.")
        if target is None:
            if settings or expected:
                raise EstimlabError("--set and --expect-failed go with one estimator, not with --all.")
            codes = _check_all(claims, seed, as_json)
        else:
            codes = [_check_one(target, settings or [], claims, expected or [], seed, verbose, as_json)]
        if any(codes):
            raise typer.Exit(1 if 1 in codes else 2)


@app.command()
def scoreboard(
    target: Annotated[str, typer.Argument(help="Name of an estimator, PATH.py:CLASS or MODULE:CLASS.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="A field: temperature=0.5; repeatable.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figure.")] = Path("scoreboard"),
    debug: DebugOption = False,
) -> None:
    """Place an estimator among the catalogue on the frozen suite: table and figure for a paper's appendix."""
    with _reported(debug):
        os.environ.setdefault("MPLBACKEND", "agg")  # files only: no display is needed
        from estimlab.cells.scoreboard import ERRORS, ranks, standing
        from estimlab.cells.scoreboard import scoreboard as place
        from estimlab.cli.loading import build_estimator
        from estimlab.results.table import read_table

        newcomer = build_estimator(target, settings or [])
        files = place(newcomer, out)
        found = read_table(files[0])
        unit = "over the true gradient's norm; equal_cost: RMSE of the mean of draws of 10,000 layer passes"
        print_frames([(f"{newcomer!r}: {unit}", standing(found))])
        for error, name in ERRORS.items():
            print_frames([(f"{newcomer!r} by {name}: place 1 is the best, the smallest error", ranks(found, error))])
        for path in files:
            say(short(path))


def _check_one(
    target: str,
    settings: list[str],
    claims: list[str] | None,
    expected: list[str],
    seed: int,
    verbose: bool,
    as_json: bool,
) -> int:
    from estimlab.cli.loading import build_estimator

    estimator = build_estimator(target, settings)
    from estimlab.checks import CLAIMS, check_estimator, expected_of

    with status(f"judging {target}") as renew:
        report = check_estimator(
            estimator,
            claims=claims,
            expected_failed_checks=expected_of(expected, CLAIMS),
            on_fail=None,
            callback=lambda _, row: renew(f"judging {target}: {row.claim}: {row.verdict}"),
            seed=seed,
        )
    if as_json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        print_lines(report.lines(verbose))
    return report.exit_code


def _check_all(claims: list[str] | None, seed: int, as_json: bool) -> list[int]:
    """One line per estimator as they are done and a summary, or a list of reports."""
    from estimlab.checks.everything import check_all, names, summary

    done = []
    checked = check_all(claims, seed)
    if as_json or sys.stdout.isatty():  # elsewhere a bar on stderr would take the lines that are meant for stdout
        checked = track(checked, "judging", len(names()))
    for one in checked:
        done.append(one)
        if not as_json:
            say(one.line)
    if as_json:
        reports = [{"name": one.name, "seconds": round(one.seconds, 2), **one.report} for one in done]
        print(json.dumps(reports, indent=2))
    else:
        say(summary(done))
    return [one.report["exit_code"] for one in done]


class _ListsRecipes(TyperCommand):
    """A command whose help ends in the list of recipes, made only when it is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from estimlab.training.command import listing

        self.epilog = listing()
        super().format_help(ctx, formatter)


@app.command(cls=_ListsRecipes)
def train(
    recipe: Annotated[str | None, typer.Argument(help="Name of a recipe; they are listed below.")] = None,
    estimator: Annotated[str, typer.Option(help="A name, MODULE:CLASS or PATH.py:CLASS.")] = "straight_through",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Its field: temperature=0.5; repeatable.")] = None,
    choices: Annotated[
        list[str] | None, typer.Option("--recipe-set", help="The recipe's: clip=1.0; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of initialisation, order, augmentation and noise.")] = 0,
    epochs: Annotated[
        int | None, typer.Option(help="Passes through the training set; the recipe's by default.")
    ] = None,
    like: Annotated[Path | None, typer.Option(help="Repeat a run, given its run.json instead of all above.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/RECIPE-ESTIMATOR-seedN by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    compiled: Annotated[bool | None, typer.Option("--compile/--no-compile", help="On a GPU by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data; $ESTIMLAB_DATA by default.")] = None,
    unverified: Annotated[bool, typer.Option("--accept-unverified", help="Read data that cannot be verified.")] = False,
    debug: DebugOption = False,
) -> None:
    """Train a network at full size; start it by torchrun to use several GPUs."""
    with _reported(debug):
        from estimlab.cli.loading import build_estimator
        from estimlab.training.command import Chosen, train_command

        chosen = Chosen(recipe, choices, seed, epochs, like)
        how = {"device": device, "compile": compiled, "folder": data, "accept_unverified": unverified}
        results = train_command(chosen, lambda: build_estimator(estimator, settings or []), out, resume, how)
        if results:
            print_table("", tuple(results[0]), [[shown(value) for value in row.values()] for row in results])


@app.command()
def version() -> None:
    """Versions of estimlab, Python and torch."""
    from estimlab.results.provenance import environment

    for name, number in environment()["versions"].items():
        say(f"{name} {number or 'not installed'}")
