"""``python -m benchmarks.gpu``: everything that needs a GPU, in steps that are resumed; 25 minutes in all.

Each step is begun only if its budget fits into what is left of ``--limit``; call again to continue. What is finished
stands in ``OUT/gpu.json`` and is not repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

import estimlab as el
from benchmarks.agreement import agreement
from benchmarks.full_size import fit, judged
from benchmarks.steptime import peak_memory, step_time
from benchmarks.timing import machine
from estimlab.training.recipes.base import Recipe
from estimlab.training.recipes.cifar10_psa import Cifar10Psa
from estimlab.training.recipes.cifar10_vgg import Cifar10Vgg
from estimlab.training.recipes.mnist_vae import MnistVae

NO_GPU = "benchmarks.gpu needs a CUDA GPU, and torch sees none here: run it on a machine that has one."
VGG, PSA, VAE = Cifar10Vgg(), Cifar10Psa(epochs=40, batch_size=256, learning_rate=0.06), MnistVae(epochs=100)
ST, OTHERS = el.StraightThrough(), (el.ZGR(), el.GumbelSoftmax(temperature=0.5))


@dataclass(frozen=True)
class Step:
    """One step: a name, seconds that it may take, and what it does with the state so far.

    ``run(state, seconds)`` returns the result, or None where it has to go on in another call.
    """

    name: str
    budget: float
    run: Callable[[dict[str, Any], float], Any]


def _agreement(state: dict[str, Any], seconds: float) -> dict[str, Any]:
    rows = agreement()
    return {"holds": all(row["holds"] for row in rows), "rows": rows}


def _times(estimator: el.Estimator) -> Callable[[dict[str, Any], float], Any]:
    return lambda state, seconds: step_time(VGG, estimator)


def steps(out: Path, data: Path | None, unverified: bool) -> list[Step]:
    """The plan; budgets add up to 25 minutes."""
    choices = {"device": "cuda", "folder": data, "accept_unverified": unverified}

    def training(recipe: Recipe, estimator: el.Estimator) -> Callable[[dict[str, Any], float], Any]:
        return lambda state, seconds: fit(recipe, estimator, out, seconds, **choices)

    def vgg(state: dict[str, Any], seconds: float) -> Any:
        found = fit(_paced(state), ST, out, seconds, **choices)
        return None if found is None else judged(found)

    return [
        Step("agreement", 60, _agreement),
        Step("step_time_straight_through", 90, _times(ST)),
        Step("peak_memory", 60, lambda state, seconds: peak_memory(VGG, ST)),
        Step("cifar10_vgg_straight_through", 500, vgg),
        *(Step(f"cifar10_psa_{one.name}", 150, training(PSA, one)) for one in (ST, *OTHERS)),
        *(Step(f"mnist_vae_{one.name}", 90, training(VAE, one)) for one in (ST, *OTHERS)),
        Step("step_time_zgr", 60, _times(OTHERS[0])),
    ]


def _paced(state: dict[str, Any]) -> Cifar10Vgg:
    """As many epochs, at most 200, as fit into seven of the eight minutes at the speed that was measured."""
    speed = state.get("step_time_straight_through", {}).get("images_per_second", 20_000.0)
    return replace(VGG, epochs=max(20, min(200, int(0.7 * 420 * speed / 50_000))))


def main(
    limit: Annotated[float, typer.Option(help="Seconds that this call may take.")] = 540.0,
    out: Annotated[Path, typer.Option(help="Folder of results and checkpoints.")] = Path("runs/gpu"),
    data: Annotated[Path | None, typer.Option(help="Folder of the data; $ESTIMLAB_DATA by default.")] = None,
    unverified: Annotated[bool, typer.Option("--accept-unverified", help="Read data that cannot be verified.")] = False,
) -> None:
    """Do the steps that are not done yet and that fit into the limit."""
    if not torch.cuda.is_available():
        raise SystemExit(NO_GPU)
    carry_out(steps(out, data, unverified), out, limit, Console())


def carry_out(plan: list[Step], out: Path, limit: float, console: Console) -> dict[str, Any]:
    """Run the plan; the state is written after each step, and an error of one does not keep the others from running."""
    began, path = time.monotonic(), out / "gpu.json"
    out.mkdir(parents=True, exist_ok=True)
    state = json.loads(path.read_text()) if path.is_file() else {}
    for step in plan:
        left = limit - (time.monotonic() - began)
        if "error" not in state.get(step.name, {"error": ""}):
            continue
        if left < min(step.budget, 60.0):
            console.print(f"{step.name}: {left:.0f} s are left of this call; call again")
            break
        try:
            result = step.run(state, min(step.budget, left - 20.0))
        except Exception as error:  # reported, kept, and tried again by the next call
            result = {"error": f"{type(error).__name__}: {error}"}
        if result is not None:
            state |= {step.name: result, "machine": machine()}
            path.write_text(json.dumps(state, indent=1) + "\n")
        console.print(f"{step.name}: {_short(result)}", markup=False)
    return state


def _short(result: Any) -> str:
    if result is None:
        return "not finished; call again"
    return ", ".join(f"{key} {value}" for key, value in result.items() if not isinstance(value, list | dict))


if __name__ == "__main__":
    typer.run(main)
