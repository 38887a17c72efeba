"""Networks, units and objectives as data: what a manifest holds, and the objects that it stands for.

A module is a list, its name first: ``["Linear", 64, 10]``, ``["Conv2d", in, out, kernel]``, ``["Flatten"]``,
``["Identity"]``, ``["Logits", 10]``, or ``["Sequential", module, ...]``. No class is ever looked up outside of these
tables, so a manifest cannot run code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from estimlab.errors import EstimlabError, closest
from estimlab.model import laws, objectives
from estimlab.model.chain import Chain, Logits
from estimlab.model.objectives import Objective
from estimlab.model.problem import Problem
from estimlab.model.units import BinaryUnits

MODULES: dict[str, Callable[..., nn.Module]] = {
    "Linear": nn.Linear,
    "Conv2d": nn.Conv2d,
    "Flatten": nn.Flatten,
    "Identity": nn.Identity,
    "Logits": Logits,
}
LAWS = {law.__name__: law for law in (laws.Logistic, laws.Gaussian, laws.Uniform, laws.Triangular)}
OBJECTIVES: dict[str, type[Objective]] = {
    objective.__name__: objective
    for objective in (
        objectives.CrossEntropy,
        objectives.LogisticLoss,
        objectives.Quadratic,
        objectives.Multilinear,
        objectives.Polynomial,
    )
}


def build_problem(content: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Problem:
    """The problem of a manifest entry's content and its tensors: inputs, targets (or neither) and blocks."""
    network = build_network(content)
    parameters = {name: arrays[name] for name, _ in network.named_parameters()}
    network.load_state_dict(parameters, assign=True)
    return Problem(network.eval(), build_objective(content["objective"]), arrays.get("inputs"), arrays.get("targets"))


def build_network(content: Mapping[str, Any]) -> Chain:
    """The chain without values: its parameters are on the meta device, so that no random state is touched."""
    law = _lookup(LAWS, content["law"]["name"], "noise law")(scale=content["law"]["scale"])
    with torch.device("meta"):
        stages = [build_module(spec) for spec in content["stages"]]
        head = build_module(content["head"])
    return Chain(stages, head, BinaryUnits(law, content["low"], content["high"]))


def build_module(spec: list[Any]) -> nn.Module:
    """The module of a list such as ``["Linear", 64, 10]``."""
    name, *arguments = spec
    if name == "Sequential":
        return nn.Sequential(*(build_module(part) for part in arguments))
    return _lookup(MODULES, name, "module")(*arguments)


def build_objective(spec: Mapping[str, Any]) -> Objective:
    """The objective of ``{"name": ..., "fields": {...}}``."""
    fields = {name: _tuples(value) for name, value in spec["fields"].items()}
    return _lookup(OBJECTIVES, spec["name"], "objective")(**fields)


def _lookup(table: Mapping[str, Any], name: str, kind: str) -> Any:
    if name not in table:
        raise EstimlabError(
            f"The manifest asks for the {kind} {name!r}, which this version of estimlab does not know; it knows "
            f"{', '.join(sorted(table))}.{closest(name, table)} Install the version of estimlab that wrote the suite."
        )
    return table[name]


def _tuples(value: Any) -> Any:
    """Lists, which is what JSON has, as the tuples that frozen dataclasses hold."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
