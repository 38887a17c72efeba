"""Cost of every estimator that serves as an activation, forward and backward, over plain straight-through."""

from __future__ import annotations

from functools import partial

import torch

import estimlab as el
from benchmarks.timing import Row, compare, row
from estimlab.estimators import catalogue
from estimlab.estimators.base import ActivationEstimator

SHAPE = (2000, 200)


def rows() -> list[Row]:
    """Float32, 2000 examples of 200 units."""
    plain = partial(_step, el.BinaryActivation(el.StraightThrough()))
    found = []
    for cls in catalogue():
        if issubclass(cls, ActivationEstimator):
            ours, other = compare(partial(_step, el.BinaryActivation(cls())), plain, rounds=30)
            ratios = [a / b for a, b in zip(ours, other, strict=True)]
            found.append(row(f"{cls.name} over straight_through, 2000 x 200", ratios, "times", "1.5 where O(1) a unit"))
    return found


def _step(activation: el.BinaryActivation) -> None:
    a = torch.zeros(SHAPE).normal_(generator=torch.Generator().manual_seed(0)).requires_grad_()
    torch.autograd.grad(activation(a), a, torch.ones(SHAPE))
