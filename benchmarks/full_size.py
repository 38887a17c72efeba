"""Training at full size on a GPU, to stated budgets, resumed where a call ran out of time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import estimlab as el
from estimlab.training.configuration import Configuration, Execution
from estimlab.training.listener import Listener, metrics_line
from estimlab.training.loop import train
from estimlab.training.recipes.recipe import Recipe

ACCURACY_BAR, SECONDS_BAR = 0.90, 480.0


class Lines(Listener):
    """A line per epoch on standard output."""

    def __init__(self, epochs: int):
        self.epochs = epochs

    def epoch(self, row: dict[str, Any]) -> None:
        """The line."""
        print(metrics_line(row, self.epochs), flush=True)


def fit(recipe: Recipe, estimator: el.Estimator, out: Path, seconds: float, **choices: Any) -> dict[str, Any] | None:
    """Train, or go on training, for so many seconds; None where it is not finished then.

    ``training_seconds`` are those of all epochs, compiling included; evaluations of the last epoch are not.
    """
    execution = Execution(seconds=seconds, **choices)
    configuration = Configuration(recipe, estimator)
    began = time.monotonic()
    session = train(configuration, out / configuration.title, execution, resume=True, listener=Lines(recipe.epochs))
    if session.epoch < recipe.epochs:
        return None
    metrics = session.record.metrics
    return {
        "estimator": repr(estimator),
        "epochs": recipe.epochs,
        "training_seconds": sum(row["seconds"] for row in metrics),
        "this_call_seconds": time.monotonic() - began,
        "images_per_second": max(row["images_per_second"] for row in metrics),
        "verified_data": session.data.verified,
        "results": session.record.results,
        "last": metrics[-1],
    }


def judged(found: dict[str, Any]) -> dict[str, Any]:
    """Whether the VGG reached its bar in time, as the mean of the drawn passes' probabilities (ten by default)."""
    accuracy = max(found["results"], key=lambda row: row["draws"])["accuracy"]
    holds = accuracy >= ACCURACY_BAR and found["training_seconds"] <= SECONDS_BAR
    return found | {"accuracy": accuracy, "bar": f"{ACCURACY_BAR} in {SECONDS_BAR:.0f} s", "holds": holds}
