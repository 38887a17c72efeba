"""estimlab: bias, variance and mean squared error of gradient estimators, measured against the exact gradient.

Every public name is loaded at its first use, so that ``import estimlab`` is fast and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "estimlab.errors": ("EstimlabError", "ImpureError", "Impurity"),
    "estimlab.model.laws": ("NoiseLaw", "Logistic", "Gaussian", "Uniform", "Triangular"),
    "estimlab.model.units": ("BinaryUnits",),
    "estimlab.model.network": ("StochasticNetwork", "Site"),
    "estimlab.model.chain": ("Chain", "Logits"),
    "estimlab.model.objectives": (
        "Objective",
        "CrossEntropy",
        "LogisticLoss",
        "Quadratic",
        "Multilinear",
        "Polynomial",
    ),
    "estimlab.model.problem": ("Problem",),
    "estimlab.randomness.noise": ("Noise", "TorchNoise"),
    "estimlab.randomness.streams": ("RandomStream",),
    "estimlab.references.base": ("Reference", "Gradient"),
    "estimlab.references.layerwise": ("LayerwiseEnumeration",),
    "estimlab.references.paths": ("PathEnumeration",),
    "estimlab.references.monte_carlo": ("MonteCarloReference",),
    "estimlab.estimators.base": ("Estimator", "HardForward", "RelaxedForward", "Cost"),
    "estimlab.estimators.activation": ("BinaryActivation",),
    "estimlab.estimators.straight_through": ("StraightThrough",),
    "estimlab.estimators.iw_st": ("IWST", "ZGR", "MVE"),
    "estimlab.estimators.darn": ("DARN",),
    "estimlab.estimators.st_zgr": ("STZGR",),
    "estimlab.estimators.reinmax": ("ReinMax",),
    "estimlab.estimators.gumbel_softmax": ("GumbelSoftmax", "STGumbelSoftmax"),
    "estimlab.estimators.gumbel_rao": ("GumbelRao", "AnalyticGumbelRao"),
    "estimlab.estimators.gapped_st": ("GappedST",),
    "estimlab.estimators.surrogate_gradient": ("SurrogateGradient",),
    "estimlab.estimators.foust": ("FouST",),
    "estimlab.estimators.mean_field": ("MeanField", "MomentPropagation", "LocalReparametrization"),
    "estimlab.estimators.reinforce": ("Reinforce", "ReinforceLOO"),
    "estimlab.estimators.muprop": ("MuProp",),
    "estimlab.estimators.rebar": ("REBAR", "RELAX"),
    "estimlab.estimators.arm": ("ARM", "DisARM"),
    "estimlab.estimators.arms": ("ARMS",),
    "estimlab.estimators.local_expectation": ("LocalExpectation",),
    "estimlab.estimators.psa": ("PSA",),
    "estimlab.estimators.average": ("Average",),
    "estimlab.measurement.measurement": ("Measurement",),
    "estimlab.measurement.exact.moments": ("exact_moments",),
    "estimlab.measurement.sampled.monte_carlo": ("measure", "measure_many"),
    "estimlab.measurement.quadrature": ("quadrature_moments",),
    "estimlab.measurement.exact.attribution": ("attribute_bias", "BiasAttribution"),
    "estimlab.adapters.expressions": ("Expression",),
    "estimlab.adapters.functions": ("SampledFunction", "RelaxedFunction", "SpikeFunction"),
    "estimlab.adapters.losses": ("SurrogateLoss",),
    "estimlab.checks": ("check_estimator", "parametrize_with_checks", "CheckReport"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = ("problems", "estimators", "references", "measurement", "training", "results", "model", "cells")

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"estimlab.{name}")
    if name.startswith("__"):  # what Python itself asks for
        raise AttributeError(name)
    from estimlab.errors import UnknownAttribute, closest

    known = [*__all__, *_MODULES]
    raise UnknownAttribute(
        f"estimlab has no name {name!r}.{closest(name, known)} dir(estimlab) lists all; estimators are listed by "
        "`estimlab list estimators` too."
    )


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
