"""Keys as they were while a key contained the modules of its classes; results under them are found again, once.

Stores of the first format and checkpoints of that time hold such keys. A run renames them as it meets them.
"""

from __future__ import annotations

from estimlab.results.identity import content_key

# Where the classes of this package lived then, whatever became of the files since.
_MODULES = {
    "estimlab.cells": "FrozenProblem ExactMoments MonteCarloMoments MedianMoments AttributedBias TrainingRun",
    "estimlab.recipes": "Bits CosineChain",
    "estimlab.scoreboard": "Score",
    "estimlab.adapters.functions": "SampledFunction RelaxedFunction SpikeFunction",
    "estimlab.adapters.losses": "SurrogateLoss",
    "estimlab.auditing.kinds": "MeanGradient BackwardFormula Number",
    "estimlab.estimators.arm": "ARM DisARM",
    "estimlab.estimators.arms": "ARMS",
    "estimlab.estimators.average": "Average",
    "estimlab.estimators.darn": "DARN",
    "estimlab.estimators.foust": "FouST",
    "estimlab.estimators.gapped_st": "GappedST",
    "estimlab.estimators.gumbel_rao": "GumbelRao AnalyticGumbelRao",
    "estimlab.estimators.gumbel_softmax": "GumbelSoftmax STGumbelSoftmax",
    "estimlab.estimators.iw_st": "ZGR MVE ConstantWeight PowerWeight IWST",
    "estimlab.estimators.local_expectation": "LocalExpectation",
    "estimlab.estimators.mean_field": "MeanField MomentPropagation LocalReparametrization",
    "estimlab.estimators.muprop": "MuProp",
    "estimlab.estimators.psa": "PSA",
    "estimlab.estimators.rebar": "REBAR RELAX",
    "estimlab.estimators.reinforce": "Reinforce ReinforceLOO",
    "estimlab.estimators.reinmax": "ReinMax",
    "estimlab.estimators.st_zgr": "STZGR",
    "estimlab.estimators.straight_through": "StraightThrough",
    "estimlab.estimators.surrogate_gradient": "SurrogateGradient",
    "estimlab.model.objectives": "CrossEntropy LogisticLoss Quadratic Multilinear Polynomial",
    "estimlab.model.units": "Logistic Gaussian Uniform Triangular BinaryUnits",
    "estimlab.references.layers": "LayerwiseEnumeration",
    "estimlab.references.monte_carlo": "MonteCarloReference",
    "estimlab.references.paths": "PathEnumeration",
    "estimlab.training.configuration": "Configuration",
    "estimlab.training.recipes.cifar10_psa": "Cifar10Psa",
    "estimlab.training.recipes.cifar10_vgg": "Cifar10Vgg",
    "estimlab.training.recipes.digits": "Digits",
    "estimlab.training.recipes.fashion": "Fashion",
    "estimlab.training.recipes.linear": "LinearRecipe",
    "estimlab.training.recipes.mnist_vae": "NegativeBound MnistVae",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}


def former_key(obj: object) -> str:
    """The key that an equal value had then; arguments and errors of ``content_key``."""
    return content_key(obj, _former_name)


def _former_name(cls: type) -> str:
    ours = cls.__module__.startswith("estimlab.")
    module = _MODULE_OF.get(cls.__qualname__, cls.__module__) if ours else cls.__module__
    return f"{module}.{cls.__qualname__}"
