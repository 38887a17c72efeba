"""Whom the loop tells what happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Listener:
    """Told by the loop what happens; this one says nothing."""

    @contextmanager
    def of(self, session: Any) -> Iterator[None]:
        """A run begins and ends."""
        yield

    def step(self) -> None:
        """A step is done."""

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done; ``row`` are its metrics."""


def metrics_line(row: dict[str, Any], epochs: int) -> str:
    """The metrics of an epoch on one line.

    >>> metrics_line({"epoch": 3, "test_loss": 0.31234, "accuracy": 0.95, "seconds": 1.0}, epochs=10)
    'epoch 3/10: test_loss 0.3123, accuracy 0.95'
    """
    hidden = ("epoch", "step", "learning_rate", "seconds", "low", "high")
    shown = [f"{name} {value:.4g}" for name, value in row.items() if name not in hidden and value is not None]
    return f"epoch {row['epoch']}/{epochs}: {', '.join(shown)}"
