"""Runs that take a second."""

import numpy as np
import torch

import estimlab as el
from estimlab.training.configuration import Configuration, Execution
from estimlab.training.data import Dataset, Split
from estimlab.training.loop import train
from estimlab.training.recipes import recipe
from estimlab.training.recipes.digits import Digits

torch.set_num_threads(1)


def small(**changes):
    return Digits(**{"epochs": 4, "examples": 200, "widths": (12, 10), **changes})


def trained(estimator=None, out=None, resume=False, seed=0, execution=None, **changes):
    configuration = Configuration(small(**changes), estimator or el.StraightThrough(), seed)
    return train(configuration, out, execution or Execution(diagnose=False), resume)


def parameters(session):
    return {name: p.detach().clone() for name, p in session.trainee.network.named_parameters()}


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def without_times(rows):
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")} for row in rows
    ]


def two_kinds(patch):
    """CIFAR-10 replaced by two kinds of images that a network can tell apart; other sets stay what they are."""
    numbers = np.random.default_rng(0)

    def split(count):
        targets = torch.arange(count) % 2
        pixels = torch.from_numpy(numbers.integers(0, 100, (count, 3, 32, 32), dtype=np.uint8))
        pixels[targets == 1] += 120
        return Split(pixels, targets)

    data = Dataset("cifar10", {"train": split(80), "test": split(40)}, (), 255, "")
    load = recipe.load
    patch.setattr(recipe, "load", lambda name, *rest: data if name == "cifar10" else load(name, *rest))
