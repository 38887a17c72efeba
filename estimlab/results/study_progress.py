"""How far a study is: a bar in a terminal, sparse lines elsewhere. Everything goes to standard error."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress


class Progress:
    """Told by the runner what happens; this one says nothing."""

    def start(self, study: str, total: int, finished: int) -> None:
        """A run begins; ``finished`` of its ``total`` cells were in the store."""

    def running(self, titles: Sequence[str]) -> None:
        """These cells are being computed."""

    def note(self, text: str) -> None:
        """Something that the user should know, before the run begins."""

    def advance(self) -> None:
        """One more cell is finished."""

    def stop(self) -> None:
        """The run ended, well or not."""


class Bar(Progress):
    """A bar with cells done, elapsed and remaining time, and the titles of the current cells."""

    def __init__(self, console: Console) -> None:
        self._bar = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[current]}"),
            console=console,
        )

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def start(self, study: str, total: int, finished: int) -> None:
        """Draw the bar."""
        self._bar.start()
        # What the other columns leave of the line: longer titles would squeeze the numbers out of it.
        self._room = self._bar.console.width - len(study) - len(f"{total}/{total}") - 45
        self._task = self._bar.add_task(escape(study), total=total, completed=finished, current="")

    def running(self, titles: Sequence[str]) -> None:
        """Show the titles, cut to one line."""
        self._bar.update(self._task, current=escape(_shorten(" | ".join(titles), self._room)))

    def advance(self) -> None:
        """Move the bar."""
        self._bar.advance(self._task)

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._bar.stop()


class Lines(Progress):
    """A line at the start, at the end, and at most every ``every`` seconds in between."""

    def __init__(self, console: Console, every: float = 30.0) -> None:
        self._console, self._every = console, every

    def start(self, study: str, total: int, finished: int) -> None:
        """Say how much there is to do."""
        self._study, self._total, self._finished = study, total, finished
        self._began = self._said = time.monotonic()
        self._say(f"{finished} of {total} cells were finished before")

    def note(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def advance(self) -> None:
        """Say it if it is the last cell or if enough time has passed."""
        self._finished += 1
        if self._finished == self._total or time.monotonic() - self._said >= self._every:
            self._said = time.monotonic()
            self._say(f"{self._finished} of {self._total} cells, {self._said - self._began:.0f} s")

    def _say(self, text: str) -> None:
        self._console.print(f"{self._study}: {text}", markup=False, highlight=False, soft_wrap=True)


def for_terminal() -> Progress:
    """What suits standard error."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines(console)


def _shorten(text: str, width: int) -> str:
    if width < 8:
        return ""
    return text if len(text) <= width else f"{text[: width - 1]}…"
