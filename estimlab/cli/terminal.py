"""What the command line prints: tables, data frames, sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas


def print_frames(frames: Any) -> None:
    """A data frame, or pairs of a title and a data frame."""
    for title, frame in frames if isinstance(frames, list) else [("", frames)]:
        print_table(title, tuple(map(str, frame.columns)), _cells(frame))


def _cells(frame: pandas.DataFrame) -> list[list[str]]:
    return [[shown(value) for value in row] for row in frame.itertuples(index=False, name=None)]


def shown(value: Any) -> str:
    """Floats to five digits, missing values as nothing."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.5g}"
    return "" if str(value) == "<NA>" else str(value)


def print_table(title: str, header: tuple[str, ...], lines: Any) -> None:
    """A table with a title above; lines are as long as they must be where nobody looks at a terminal."""
    table = Table()
    rows = [[str(value) for value in line] for line in lines]
    # Names stay whole, as they are there to be copied.
    table.add_column(Text(header[0]), overflow="fold", min_width=min(24, max((len(row[0]) for row in rows), default=0)))
    for name in header[1:]:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    # In a file or a pipe nothing forces lines to be short; print(width=...) alone would not exceed the console's own.
    console = Console() if Console().is_terminal else Console(width=1000)
    if title:  # of a table, it would be as narrow as that
        console.print(Text(title, style="italic"), soft_wrap=True)
    console.print(table)


def print_lines(lines: Iterable[Any]) -> None:
    """Lines of a text and a style; in colour on a terminal."""
    console = Console()
    for line in lines:
        console.print(Text(line.text, style=line.style), soft_wrap=True)


@contextmanager
def status(first: str) -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what goes on, where that is a terminal; yields what renews it."""
    with Console(stderr=True).status(Text(first)) as shown:
        yield lambda text: shown.update(Text(text))


def say(text: str) -> None:
    """A sentence, not broken."""
    Console().print(Text(text), soft_wrap=True)


def short(path: Path) -> str:
    """Relative to the working directory where the file lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
