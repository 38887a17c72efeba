"""``python -m benchmarks``: every ratio, as a table, as JSON with the machine described, and the figure of cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import activations, engine, others, sampling, scaling
from benchmarks.against import against, sides
from benchmarks.timing import Row, machine
from estimlab.errors import EstimlabError
from estimlab.files import replace_file, require_writable

RESULTS = Path(__file__).parent / "results"
PARTS: dict[str, Callable[[], Row | Iterable[Row]]] = {
    "dgemm": engine.against_dgemm,
    "dgemm-1": engine.against_dgemm_on_one_thread,
    "depth": engine.depth,
    "growth": engine.growth,
    "paths": engine.against_paths,
    "toy": engine.toy,
    "plan": engine.honesty,
    "moments": engine.moments,
    "sampling": sampling.throughput,
    "family": sampling.family,
    "memory": sampling.long_run,
    "activations": activations.rows,
    "others": others.rows,
}


def main(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"{', '.join(PARTS)}; all and the figure by default.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--against", help="Compare this checkout with a revision of it; nothing is written.")
    ] = None,
) -> None:
    """Measure, print, and write benchmarks/results/ratios.json and cost.pdf, cost.png."""
    if revision is not None:
        if parts:
            raise typer.BadParameter(f"{', '.join(parts)}: --against has cases of its own, leave the parts out.")
        _compare(revision)
        return
    if not parts:
        require_writable(*(RESULTS / name for name in ("ratios.json", "cost.json", "cost.pdf", "cost.png")))
    console, found = Console(), []
    for name in parts or PARTS:
        with console.status(f"{name} ..."):
            result = PARTS[name]()
        found += [result] if isinstance(result, Row) else list(result)
    console.print(_table(found))
    if not parts:
        _write("ratios", {"machine": machine(), "rows": [asdict(one) for one in found]})
        with console.status("cost against width and depth ..."):
            costs = scaling.costs()
        _write("cost", {"machine": machine(), "rows": costs})
        scaling.draw(costs, RESULTS / "cost")
        console.print("written: ratios.json, cost.json, cost.pdf, cost.png in benchmarks/results")


def _compare(revision: str) -> None:
    """Print the ratios of a revision to this checkout."""
    console = Console()
    try:
        console.print(sides(revision), highlight=False, markup=False, soft_wrap=True)
        with console.status(f"against {revision} ..."):
            rows = against(revision)
    except EstimlabError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    console.print(_table(rows))


def _table(rows: list[Row]) -> Table:
    table = Table("compared", "ratio", "from .. to", "of", "asked")
    for one in rows:
        table.add_row(one.name, f"{one.ratio:.3g}", "{:.3g} .. {:.3g}".format(*one.spread), one.unit, one.target)
    return table


def _write(name: str, content: dict) -> None:
    replace_file(RESULTS / f"{name}.json", (json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    typer.run(main)
