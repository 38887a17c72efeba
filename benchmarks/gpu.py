"""``python -m benchmarks.gpu``: everything that needs a GPU, in steps that are resumed; 25 minutes in all.

First whether the devices agree, then the exact engine, then time and memory of a training step, then training. A step
that cannot be resumed begins only if its budget fits into what is left of ``--limit``; call again to continue. What is
finished stands in ``OUT/gpu.json`` and is not repeated; a copy goes to ``benchmarks/results``, named after the device.
Needs no package beyond those that ``import estimlab`` needs.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import estimlab as el
from benchmarks.agreement import agreement
from benchmarks.engine import on_device
from benchmarks.full_size import fit, judged
from benchmarks.steptime import peak_memory, step_time
from benchmarks.timing import machine
from estimlab.files import require_writable
from estimlab.training.recipes.cifar10_psa import Cifar10Psa
from estimlab.training.recipes.cifar10_vgg import Cifar10Vgg
from estimlab.training.recipes.mnist_vae import MnistVae
from estimlab.training.recipes.recipe import Recipe

NO_GPU = "benchmarks.gpu needs a CUDA GPU, and torch sees none here: run it on a machine that has one."
RESULTS = Path(__file__).parent / "results"
VGG, PSA, VAE = Cifar10Vgg(), Cifar10Psa(epochs=40, batch_size=256), MnistVae(epochs=100)
ST, OTHERS = el.StraightThrough(), (el.ZGR(), el.GumbelSoftmax(temperature=0.5))


@dataclass(frozen=True)
class Step:
    """One step: a name, seconds that it may take, and what it does with the state so far.

    ``run(state, seconds)`` returns the result, or None where it has to go on in another call: only training does, which
    is resumed and so may begin with less than its budget.
    """

    name: str
    budget: float
    run: Callable[[dict[str, Any], float], Any]
    resumes: bool = False


def _agreement(state: dict[str, Any], seconds: float) -> dict[str, Any]:
    rows = agreement()
    return {"holds": all(row["holds"] for row in rows), "rows": rows}


def _times(estimator: el.Estimator, compiled: bool = True) -> Callable[[dict[str, Any], float], Any]:
    return lambda state, seconds: step_time(VGG, estimator, compiled=compiled)


def steps(out: Path, data: Path | None, unverified: bool) -> list[Step]:
    """The plan; budgets add up to 25 minutes."""
    choices = {"device": "cuda", "folder": data, "accept_unverified": unverified}

    def training(recipe: Recipe, estimator: el.Estimator) -> Callable[[dict[str, Any], float], Any]:
        return lambda state, seconds: fit(recipe, estimator, out, seconds, **choices)

    def vgg(state: dict[str, Any], seconds: float) -> Any:
        found = fit(_paced(state), ST, out, seconds, **choices)
        return None if found is None else judged(found)

    return [
        Step("agreement", 90, _agreement),
        Step("exact_engine", 20, lambda state, seconds: on_device()),
        Step("step_time_straight_through", 90, _times(ST)),
        Step("step_time_straight_through_eager", 20, _times(ST, compiled=False)),
        Step("peak_memory", 120, lambda state, seconds: peak_memory(VGG, (ST, *OTHERS))),
        Step("cifar10_vgg_straight_through", 500, vgg, resumes=True),
        *(Step(f"cifar10_psa_{one.name}", 125, training(PSA, one), resumes=True) for one in (ST, *OTHERS)),
        *(Step(f"mnist_vae_{one.name}", 75, training(VAE, one), resumes=True) for one in (ST, *OTHERS)),
        Step("step_time_zgr", 60, _times(OTHERS[0])),
    ]


def _paced(state: dict[str, Any]) -> Cifar10Vgg:
    """As many epochs, at most 200, as fit into seven of the eight minutes at the speed that was measured."""
    speed = state.get("step_time_straight_through", {}).get("images_per_second", 20_000.0)
    return replace(VGG, epochs=max(20, min(200, int(0.7 * 420 * speed / 50_000))))


def main(arguments: list[str] | None = None) -> None:
    """Do the steps that are not done yet and that fit into the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=main.__doc__)
    parser.add_argument("--limit", type=float, default=540.0, help="seconds that this call may take")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of state and checkpoints")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the copy named after the device")
    parser.add_argument("--data", type=Path, help="folder of the data; $ESTIMLAB_DATA by default")
    parser.add_argument("--accept-unverified", action="store_true", help="read data that cannot be verified")
    chosen = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        raise SystemExit(NO_GPU)
    plan = steps(chosen.out, chosen.data, chosen.accept_unverified)
    carry_out(plan, chosen.out, chosen.limit, chosen.results)


def carry_out(plan: list[Step], out: Path, limit: float, results: Path) -> dict[str, Any]:
    """Run the plan; the state is written after each step, and an error of one does not keep the others from running."""
    began, path = time.monotonic(), out / "gpu.json"
    require_writable(path, results / path.name)
    state = json.loads(path.read_text()) if path.is_file() else {}
    for step in plan:
        left = limit - (time.monotonic() - began)
        if "error" not in state.get(step.name, {"error": ""}):
            continue
        if left < (min(step.budget, 60.0) if step.resumes else step.budget):
            print(f"{step.name}: {left:.0f} s are left of this call; call again", flush=True)
            break
        torch.compiler.reset()  # one piece of code is compiled eight times at most, and then runs uncompiled
        try:
            result = step.run(state, min(step.budget, left - 20.0))
        except Exception as error:  # reported, kept, and tried again by the next call
            result = {"error": f"{type(error).__name__}: {error}"}
        if result is not None:
            state |= {step.name: result, "machine": machine()}
            _write(path, state)
            _write(results / f"gpu-{_slug(state['machine']['device'])}.json", state)
        print(f"{step.name}: {_short(result)}", flush=True)
    return state


def _write(path: Path, state: dict[str, Any]) -> None:
    """Beside the file, then renamed: a call that is killed here leaves the old state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(state, indent=1) + "\n")
    temporary.replace(path)


def _slug(device: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def _short(result: Any) -> str:
    if result is None:
        return "not finished; call again"
    return ", ".join(f"{key} {value}" for key, value in result.items() if not isinstance(value, list | dict))


if __name__ == "__main__":
    main()
