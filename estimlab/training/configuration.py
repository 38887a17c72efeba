"""What decides the result of a run, and what only decides how it is computed."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from dataclasses import dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from estimlab.arguments import count
from estimlab.declared import Declared
from estimlab.errors import EstimlabError
from estimlab.estimators.base import ActivationEstimator, Estimator
from estimlab.results.former_keys import former_key
from estimlab.results.identity import content_key
from estimlab.training.recipes.recipe import Recipe


@dataclass(frozen=True)
class Configuration(Declared):
    """A run: equal configurations give equal results on the same machine.

    Attributes:
        recipe: network, objective, optimiser, schedule, data.
        estimator: of the gradient.
        seed: of initialisation, order, augmentation and noise.

    >>> import estimlab as el
    >>> from estimlab.training.recipes import find_recipe
    >>> Configuration(find_recipe("digits")(epochs=2), el.ZGR(), seed=1).title
    'digits-zgr-seed1'
    """

    recipe: Recipe
    estimator: Estimator
    seed: int = 0

    def __post_init__(self) -> None:
        count(self.seed, "Configuration", "seed")

    @property
    def key(self) -> str:
        """Hash of its content."""
        return content_key(self)

    @property
    def keys(self) -> tuple[str, ...]:
        """Its key, and the one that checkpoints of a former version hold."""
        return self.key, former_key(self)

    @property
    def title(self) -> str:
        """For people and for the name of a folder."""
        return f"{self.recipe.name}-{self.estimator.name}-seed{self.seed}"


@dataclass(frozen=True)
class Execution(Declared):
    """How a run is computed.

    Attributes:
        device: ``auto``, ``cpu`` or ``cuda``.
        compile: by ``torch.compile``; None: on a GPU. Estimators that need values of the objective (REINFORCE, ARM,
            ...) always run uncompiled and without autocast, as ``run.json`` says: a difference of two values would
            drown in the rounding of bfloat16.
        autocast: matrix products in bfloat16; None: on a GPU.
        check_every: steps between two looks for NaN; None: 1 on a CPU, 20 on a GPU, where looking waits for it.
        diagnose: whether each epoch ends with a diagnosis of the layers.
        folder: that holds the data; None: that of ``ESTIMLAB_DATA``.
        accept_unverified: read data files that are not known to be the published ones.
        ensemble: draws of the ensemble that is evaluated at the end.
        stop_after: stop after this epoch as if killed there, to be resumed; None: at the end.
        seconds: stop after the epoch in which this time is over, to be resumed; None: no limit.

    >>> import estimlab as el
    >>> Execution().on(torch.device("cpu"), el.ZGR())
    {'compile': False, 'autocast': False, 'check_every': 1, 'recompute': False}
    """

    device: str = "auto"
    compile: bool | None = None
    autocast: bool | None = None
    check_every: int | None = None
    diagnose: bool = True
    folder: Path | None = None
    accept_unverified: bool = False
    ensemble: int = 10
    stop_after: int | None = None
    seconds: float | None = None

    def on(self, device: torch.device, estimator: Estimator) -> dict[str, Any]:
        """What is left open, decided for a device; estimators that need values are neither compiled nor rounded."""
        gpu, simple = device.type == "cuda", isinstance(estimator, ActivationEstimator)
        compiled = simple and (gpu if self.compile is None else self.compile)
        return {
            "compile": compiled,
            "autocast": simple and (gpu if self.autocast is None else self.autocast),
            "check_every": self.check_every or (20 if gpu else 1),
            "recompute": compiled,
        }


def rebuild(text: str) -> Any:
    """The value whose ``repr`` is given: literals, tuples of values, and the package's frozen dataclasses.

    Raises:
        EstimlabError: anything else; nothing of the text is executed.

    >>> rebuild("GumbelSoftmax(temperature=0.5)").temperature
    0.5
    """
    try:
        return _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, KeyError, TypeError) as error:
        raise EstimlabError(
            f"{text!r} cannot be built again: only literals and the classes of estimlab can ({error})."
        ) from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Tuple(elts=elements):
            return tuple(map(_value, elements))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            return _classes()[name](*map(_value, arguments), **{str(k.arg): _value(k.value) for k in keywords})
        case _:
            return ast.literal_eval(node)


@cache
def _classes() -> dict[str, type]:
    """The frozen dataclasses that a recipe or an estimator may hold: estimators, their weights, laws, units."""
    package = importlib.import_module("estimlab.estimators")
    names = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    modules = [importlib.import_module(name) for name in ("estimlab.model.laws", "estimlab.model.units", *names)]
    return {name: cls for module in modules for name, cls in vars(module).items() if is_dataclass(cls)}  # type: ignore
