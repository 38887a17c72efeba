"""Optimisers and the course of the learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from estimlab.training.recipes.base import Recipe


def make_optimiser(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser; weight decay acts on matrices and kernels, not on biases and norms."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    fused = all(p.is_cuda for p in parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimiser == "adam":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=fused)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True, fused=fused)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Linear warm-up to the peak, then half a cosine to ``final_rate`` times the peak at the last step."""
    peak, last = recipe.learning_rate, recipe.final_rate * recipe.learning_rate
    if step < recipe.warmup:
        return peak * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, steps - recipe.warmup)
    return last + (peak - last) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group of parameters this learning rate, times its own ``scale`` where it has one."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
