"""Chains whose inner stages are linear maps: what some estimators need to know of a network."""

from __future__ import annotations

from torch import nn

from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator
from estimlab.model.chain import Chain
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits


def linear_stages(problem: Problem, estimator: Estimator) -> list[nn.Linear]:
    """The stages of a chain after the first, each ``nn.Linear`` on a row of units; the first may be any module.

    Errors:
        EstimlabError: another network, stage or kind of units; before any work.
    """
    chain = problem.network
    if not isinstance(chain, Chain):
        raise EstimlabError(
            f"{estimator!r} needs an el.Chain, where each layer depends on the one before it alone; the network is a "
            f"{type(chain).__name__}. Use el.StraightThrough() or el.DisARM(), which serve any network."
        )
    for k, units in enumerate(chain.units):
        if not isinstance(units, BinaryUnits):
            raise EstimlabError(
                f"{estimator!r} needs binary units, of one step each; the units of layer {k} are {units!r}. Use "
                "el.StraightThrough() or el.DisARM(), which serve any units."
            )
    stages = list(chain.stages)[1:]
    for k, stage in enumerate(stages, 1):
        if not isinstance(stage, nn.Linear) or len(problem.sites[k - 1].shape) != 1:
            raise EstimlabError(
                f"{estimator!r} needs nn.Linear stages after the first, on units in a row; stage {k} is a "
                f"{type(stage).__name__} on units of shape {problem.sites[k - 1].shape}. Use el.StraightThrough() or "
                "el.DisARM(), which serve any stage."
            )
    return [stage for stage in stages if isinstance(stage, nn.Linear)]
