"""Runs that take a second."""

import torch

import estimlab as el
from estimlab.training.configuration import Configuration, Execution
from estimlab.training.loop import train
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
