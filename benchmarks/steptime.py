"""Time and memory of a training step with binary units over the same network with ReLU."""

from __future__ import annotations

import gc
import statistics
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import estimlab as el
from benchmarks.timing import seconds
from estimlab.training.counter_noise import row_keys
from estimlab.training.recipes.recipe import Recipe
from estimlab.training.trained_units import TrainedUnits
from estimlab.training.trainee import Trainee

TIME_BAR, MEMORY_BAR = 1.15, 1.25


class Rectified(nn.Module):
    """The trainee's network with ReLU in the place of its units."""

    def __init__(self, trainee: Trainee):
        super().__init__()
        self.network, self.objective, self.sites = trainee.network, trainee.objective, len(trainee.sites)

    def forward(self, inputs: Tensor, targets: Tensor, rows: Tensor) -> Tensor:
        """The objective per example; ``rows`` are not read."""
        kind = inputs.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else inputs.dtype
        output = self.network.run(inputs, lambda k, a, carry: torch.relu(a).to(dtype), self.sites)
        return self.objective(output, targets)


@dataclass(eq=False)
class Step:
    """Forward, backward and optimiser of one kind of network on a fixed batch of noise images."""

    recipe: Recipe
    estimator: el.Estimator | None
    device: str = "cuda"
    compiled: bool = True

    def __post_init__(self) -> None:
        gpu = self.device == "cuda"
        torch.manual_seed(0)
        shape = torch.Size((3, 32, 32))
        network = self.recipe.network(shape).to(self.device)
        self.inputs = torch.randn(self.recipe.batch_size, *shape, device=self.device)
        if gpu:
            network = network.to(memory_format=torch.channels_last)
            self.inputs = self.inputs.contiguous(memory_format=torch.channels_last)
        self.targets = torch.arange(self.recipe.batch_size, device=self.device) % 10
        estimator, data = self.estimator or el.StraightThrough(), (self.inputs, self.targets)
        trainee = Trainee(network, estimator, el.CrossEntropy(), *data, recompute=self.compiled)
        module = trainee if self.estimator else Rectified(trainee)
        self.losses: Any = torch.compile(module) if self.compiled else module
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=gpu)
        self.number = 0

    def __call__(self) -> None:
        """One step."""
        rows = row_keys(0, self.number, torch.arange(len(self.inputs), device=self.device))
        self.number += 1
        with torch.autocast(self.device, torch.bfloat16):
            loss = self.losses(self.inputs, self.targets, rows).float().mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()


def step_time(
    recipe: Recipe,
    estimator: el.Estimator,
    device: str = "cuda",
    steps: int = 20,
    rounds: int = 15,
    compiled: bool = True,
) -> dict[str, Any]:
    """Seconds per step of both, in turn, and the median of their ratios; the bar is for compiled networks."""
    ours, relu = (Step(recipe, one, device, compiled) for one in (estimator, None))

    def several(step: Step) -> float:
        return seconds(lambda: [step() for _ in range(steps)]) / steps

    several(ours), several(relu)  # compile, and choose kernels
    pairs = [(several(ours), several(relu)) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    fastest = min(a for a, _ in pairs)
    found = {
        "compiled": compiled,
        "ratio": ratio,
        "seconds": fastest,
        "seconds_relu": min(b for _, b in pairs),
        "images_per_second": recipe.batch_size / fastest,
        "ratios": [a / b for a, b in pairs],
    }
    return found | ({"bar": TIME_BAR, "holds": ratio <= TIME_BAR} if compiled else {})


def peak_memory(recipe: Recipe, estimators: tuple[el.Estimator, ...]) -> dict[str, Any]:
    """Peak bytes of a compiled step of each and of ReLU, parameters and optimiser counted."""
    found = {"relu": _peak(recipe, None)} | {one.name: _peak(recipe, one) for one in estimators}
    ratios = {name: size / found["relu"] for name, size in found.items() if name != "relu"}
    worst = max(ratios.values())
    return {"worst_ratio": worst, "bar": MEMORY_BAR, "holds": worst <= MEMORY_BAR, "ratios": ratios, "bytes": found}


def _peak(recipe: Recipe, estimator: el.Estimator | None) -> int:
    torch._dynamo.reset()  # what was compiled before holds tensors
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    step = Step(recipe, estimator)
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def kept_bytes(recipe: Recipe, estimator: el.Estimator | None, backend: str) -> int:
    """Bytes per batch that the compiled forward pass keeps for the backward pass, parameters and constants left out."""
    torch._dynamo.reset()
    step, sizes = Step(recipe, estimator, "cpu", compiled=False), {}
    for module in step.losses.modules():
        if isinstance(module, TrainedUnits):
            module.recompute = True
    own = {p.data_ptr() for p in step.losses.parameters()}

    def keep(t: Tensor) -> Tensor:
        if t.data_ptr() not in own and t.ndim and len(t) == recipe.batch_size:
            sizes[t.data_ptr()] = t.numel() * t.element_size()
        return t

    rows = row_keys(0, 1, torch.arange(recipe.batch_size))
    compiled = torch.compile(step.losses, backend=backend, fullgraph=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        mean = compiled(step.inputs, step.targets, rows).mean()  # held, so that no address is given away twice
    assert mean.requires_grad
    return sum(sizes.values())
