"""The script that made v1: ``python -m estimlab.problems.freezing.v1 DEST``. Needs scikit-learn (``estimlab[data]``).

Every network starts from U(-1, 1), each pre-activation shifted and scaled to mean 0 and variance 1 over the data and
sampled states, and is trained by Adam along the exact gradient. Another machine or library rounds differently: its
problems agree with the published ones to about 1e-9, not in their hashes. ``uniform-late`` agrees to a few digits only:
the density of uniform noise jumps, and with it the gradient on the way.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from estimlab.arrays import Arrays, content_hash, write_arrays
from estimlab.errors import EstimlabError
from estimlab.model.problem import Problem
from estimlab.problems.architecture import build_network, build_objective
from estimlab.problems.descent import exact_descent
from estimlab.problems.freezing.recipes_v1 import LEARNING_RATE, RECIPES, Recipe
from estimlab.problems.storage import MANIFEST, write_manifest
from estimlab.problems.toys import initialise
from estimlab.references.layerwise import LayerwiseEnumeration
from estimlab.references.paths import PathEnumeration
from estimlab.references.reference import Gradient

VERSION = "v1"
MAX_UNITS = 16  # of a problem whose truth is confirmed by enumeration of all paths


def main() -> None:
    """Build the suite into the folder named on the command line."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m estimlab.problems.freezing.v1 DEST")
    torch.set_num_threads(1)  # the order of summation, and with it the last digits, depends on the number of threads
    build_suite(Path(sys.argv[1]))


def build_suite(folder: Path) -> None:
    """Write every problem and the manifest into a folder that holds no suite yet."""
    if (folder / MANIFEST).exists():
        raise EstimlabError(
            f"{folder} holds a suite already, and a published suite is never changed: give a new folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for name in RECIPES:
        entries[name], arrays = build(name)
        write_arrays(folder / entries[name]["file"], arrays)
    write_manifest(folder, {"version": VERSION, "problems": entries})


def build(name: str) -> tuple[dict[str, Any], Arrays]:
    """Train one network; its entry of the manifest and its arrays."""
    recipe = RECIPES[name]
    content = content_of(name, recipe)
    training = initial_problem(recipe, content)
    history = exact_descent(training, recipe.steps, LEARNING_RATE)
    problem = _keep(training, recipe.kept)
    truth = LayerwiseEnumeration().gradient(problem)
    arrays = _arrays(problem, truth)
    entry = {
        "file": f"{name}.npz",
        "sha256": content_hash(content, arrays),
        "summary": _summary(recipe, problem, truth, history),
        "stage": recipe.stage,
        "widths": [site.size for site in problem.sites],
        "examples": problem.batch,
        "expected_objective": truth.objective,
        "truth": _confirmation(problem, truth),
        "training": _training(recipe, history),
        "source": recipe.source or "made by this script",
        "content": content,
    }
    return entry, arrays


def content_of(name: str, recipe: Recipe) -> dict[str, Any]:
    """What is hashed together with the arrays."""
    return {
        "name": name,
        "version": VERSION,
        "stages": [_lists(stage) for stage in recipe.stages],
        "head": _lists(recipe.head),
        "law": {"name": recipe.law[0], "scale": recipe.law[1]},
        "low": recipe.coding[0],
        "high": recipe.coding[1],
        "objective": {"name": recipe.objective[0], "fields": recipe.objective[1]},
    }


def initial_problem(recipe: Recipe, content: dict[str, Any]) -> Problem:
    """The problem before training, on the training data."""
    inputs, targets = (None, None) if recipe.data is None else map(torch.tensor, recipe.data())
    network = build_network(content).to_empty(device="cpu").double().eval()
    initialise(network, inputs, np.random.default_rng(recipe.seed))
    return Problem(network, build_objective(content["objective"]), inputs, targets)


def _keep(problem: Problem, per_class: int | None) -> Problem:
    """The problem on the first examples of each class; the network is the same."""
    if per_class is None:
        return problem
    assert problem.inputs is not None
    assert problem.targets is not None
    first = torch.cat([torch.nonzero(problem.targets == c)[:per_class, 0] for c in problem.targets.unique()])
    return Problem(problem.network, problem.objective, problem.inputs[first], problem.targets[first])


def _arrays(problem: Problem, truth: Gradient) -> Arrays:
    tensors = {name: p.detach() for name, p in problem.network.named_parameters()}
    tensors |= {f"truth.gradient.{name}": value for name, value in truth.value.items()}
    tensors |= {"truth.expected": truth.expected, "truth.objective": torch.tensor(truth.objective, dtype=torch.float64)}
    data = {"inputs": problem.inputs, "targets": problem.targets}
    tensors |= {name: tensor for name, tensor in data.items() if tensor is not None}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _confirmation(problem: Problem, truth: Gradient) -> dict[str, Any]:
    """Reference and checks of the truth; where the units are few, confirmed by the independent reference."""
    checks, few = dict(truth.checks), sum(site.size for site in problem.sites) <= MAX_UNITS
    if few:
        paths = PathEnumeration(block_paths=512).gradient(problem)
        difference = max(float((truth.value[name] - paths.value[name]).abs().max()) for name in truth.value)
        checks["difference_from_paths"] = max(difference, float((truth.expected - paths.expected).abs().max()))
        if not checks["difference_from_paths"] < 1e-12:
            raise ArithmeticError(f"Layers and paths do not agree, one of the references is wrong: {checks}.")
    return {"reference": truth.reference, "confirmed_by_paths": few, "checks": checks}


def _training(recipe: Recipe, history: list[float]) -> dict[str, Any]:
    """What training did to the exact objective of its examples; a late stage must have stopped improving."""
    last_tenth = history[-1 - recipe.steps // 10] - history[-1]
    if recipe.stage == "late" and not last_tenth < 0.01 * history[0]:
        raise ArithmeticError(
            f"The objective still fell by {last_tenth} in the last tenth: give more than {recipe.steps} steps."
        )
    return {
        "optimizer": "Adam along the exact gradient",
        "learning_rate": LEARNING_RATE,
        "steps": recipe.steps,
        "examples": 1 if recipe.data is None else len(recipe.data()[0]),
        "objective_before": history[0],
        "objective_after": history[-1],
        "fall_in_last_tenth": last_tenth,
    }


def _summary(recipe: Recipe, problem: Problem, truth: Gradient, history: list[float]) -> str:
    on = "" if problem.inputs is None else f" on {problem.batch} examples"
    text = f"{recipe.task}; expected objective {truth.objective:.6f}{on}"
    if recipe.stage == "init":
        return f"{text}, before training."
    if recipe.stage == "fixed":
        return f"{text}, parameters drawn once and not trained."
    trained = f"{text}, after {recipe.steps} steps of Adam along the exact gradient"
    if recipe.kept is not None and recipe.data is not None:
        trained += f" of {len(recipe.data()[0])} examples with objective {history[-1]:.6f}"
    return trained + "."


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


if __name__ == "__main__":
    main()
