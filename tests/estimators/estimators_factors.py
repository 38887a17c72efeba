"""Factors of hard-forward estimators, as several test files take them."""

import math

import networks
import pytest
import torch

import estimlab as el

LAWS = [law(2.3) for law in networks.LAWS]
SMOOTH = [el.Logistic(), el.Logistic(0.6), el.Gaussian(), el.Gaussian(1.7)]
every_law = pytest.mark.parametrize("law", LAWS, ids=repr)
A = torch.linspace(-2.2, 2.2, 25, dtype=torch.float64)  # inside the support of every law
ROUNDING = 1e-12  # sums of some hundred terms in float64


def factors(estimator, law, a=A):
    """The factor on the low and on the high state, of an estimator that reads no further noise."""
    hidden = torch.full_like(a, math.nan)
    return [estimator.derivative(a, torch.full_like(a, bit), hidden, law) for bit in (0.0, 1.0)]


def same_moments(one, other, tolerance=ROUNDING):
    return networks.blocks_close(one.mean, other.mean, tolerance) and networks.blocks_close(
        one.variance, other.variance, tolerance
    )


def problem_of(law, seed=0, widths=(2, 3, 3), coding=(-1.0, 1.0)):
    return networks.classification(widths, batch=3, seed=seed, units=el.BinaryUnits(law, *coding), scale=0.7)


FACTORS = [
    *(el.DARN(0.2), el.DARN("mean"), el.STZGR(), el.ReinMax(0.5), el.ReinMax(2.0)),
    *(el.AnalyticGumbelRao(0.3), el.AnalyticGumbelRao(1.5), el.GappedST(0.7), el.GappedST(gap="probability")),
    el.StraightThrough("sign_swish"),
]
SHAPES = ("sigmoid", "atan", "fast_sigmoid", "superspike", "triangle", "boxcar", "gaussian")
SURROGATES = [el.SurrogateGradient(shape, 1.2) for shape in SHAPES]
NEW = [*FACTORS, el.GumbelRao(), el.GumbelRao(0.2, 2), el.FouST(), el.FouST(False), *SURROGATES]
