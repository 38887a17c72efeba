"""How far a run is: a live bar in a terminal, one line per epoch elsewhere, on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from estimlab.training.listener import Listener, metrics_line


class ImagesPerSecond(ProgressColumn):
    """Speed of the last steps."""

    def __init__(self, batch: int):
        super().__init__()
        self.batch = batch

    def render(self, task: Task) -> Text:
        """As text."""
        return Text("" if task.speed is None else f"{task.speed * self.batch:,.0f} images/s")


class Live(Listener):
    """A bar per epoch where standard error is a terminal, and a line at the end of each epoch."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)
        self.bar: Progress | None = None

    @contextmanager
    def of(self, session: Any) -> Iterator[None]:
        """Say what is trained, on what, and from where."""
        size = sum(p.numel() for p in session.trainee.parameters())
        self.epochs, self.steps = session.recipe.epochs, session.steps_per_epoch
        self._say(
            f"{session.configuration.title}: {session.configuration.estimator!r}, {size:,} parameters, "
            f"{session.steps_per_epoch} steps an epoch on {session.device}, from epoch {session.epoch}"
        )
        if not self.console.is_terminal:
            yield
            return
        speed = ImagesPerSecond(session.recipe.batch_size)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as self.bar:
            self.task = self.bar.add_task(f"epoch {session.epoch + 1}/{self.epochs}", total=self.steps)
            yield
        self.bar = None

    def step(self) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.advance(self.task)

    def epoch(self, row: dict[str, Any]) -> None:
        """A line of metrics, and a new bar."""
        self._say(metrics_line(row, self.epochs))
        if self.bar is not None:
            self.bar.reset(self.task, description=f"epoch {row['epoch'] + 1}/{self.epochs}")

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
