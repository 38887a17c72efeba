"""The command ``estimlab train``: what the user typed, made into a configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from estimlab.errors import EstimlabError, closest
from estimlab.training.configuration import Configuration, Execution, rebuild
from estimlab.training.loop import train
from estimlab.training.recipes import Recipe, find_recipe, named_recipes
from estimlab.training.record import CHECKPOINT, read_run
from estimlab.training.run_progress import Live


@dataclass(frozen=True)
class Chosen:
    """What was typed; None: not given.

    Attributes:
        recipe: its name.
        choices: fields of the recipe, ``name=value``.
        seed: of everything random.
        epochs: instead of the recipe's.
        like: ``run.json`` of a run to repeat, instead of the rest.
    """

    recipe: str | None
    choices: list[str] | None = None
    seed: int = 0
    epochs: int | None = None
    like: Path | None = None


def train_command(
    chosen: Chosen,
    estimator: Callable[[], Any],
    out: Path | None = None,
    resume: bool = False,
    execution: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Train as the command line says, and return the results of the final evaluation.

    Args:
        chosen: what was typed.
        estimator: builds the estimator that was typed; not called where a run is repeated.
        out: folder of the run; ``runs/RECIPE-ESTIMATOR-seedN`` by default.
        resume: go on from its checkpoint.
        execution: fields of ``Execution``.

    Raises:
        EstimlabError: ``resume`` without a checkpoint, or what ``configure`` and ``train`` raise.
    """
    configuration, execution = configure(chosen, estimator), dict(execution or {})
    if chosen.like is not None:
        execution["accept_unverified"] |= read_run(chosen.like)[1]
    out = out or Path("runs") / configuration.title
    if resume and not (out / CHECKPOINT).is_file():
        raise EstimlabError(
            f"--resume: {out} holds no run. Leave --resume out to begin one, or name its folder by --out."
        )
    leads = os.environ.get("RANK", "0") == "0"  # torchrun: one process speaks
    session = train(configuration, out, Execution(**execution), resume, Live() if leads else None)
    return session.record.results if session.world.leads else []


def configure(chosen: Chosen, estimator: Callable[[], Any]) -> Configuration:
    """The configuration that was typed.

    Raises:
        EstimlabError: neither a recipe nor a run to repeat, or an unknown name or field.
    """
    if chosen.like is not None:
        if chosen.recipe or chosen.choices or chosen.epochs:
            raise EstimlabError("--like repeats a run as it was: give no recipe, --recipe-set or --epochs with it.")
        return read_run(chosen.like)[0]
    if chosen.recipe is None:
        raise EstimlabError(f"Give the name of a recipe: {', '.join(named_recipes())}.")
    cls = find_recipe(chosen.recipe)
    settings = dict(_setting(cls, text) for text in chosen.choices or [])
    if chosen.epochs is not None:
        settings["epochs"] = chosen.epochs
    return Configuration(cls(**settings), estimator(), chosen.seed)


def _setting(cls: type[Recipe], text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    known = [field.name for field in fields(cls)]
    if not separator or name not in known:
        raise EstimlabError(
            f"--recipe-set {text!r}: write field=value.{closest(name, known)} Fields of {cls.name}: {', '.join(known)}."
        )
    try:
        return name, rebuild(value)
    except EstimlabError:
        return name, value  # text, as sgd


def listing() -> str:
    """The recipes, one paragraph each, for the help."""
    return "\n\n".join(["Recipes:", *(f"{name}: {cls.summary}" for name, cls in named_recipes().items())])
