"""Measurements as arrays and JSON, and the estimator of a measurement from its text."""

from __future__ import annotations

import ast
import importlib
import math
from typing import TYPE_CHECKING, Any

from estimlab.arrays import Arrays
from estimlab.declared import Declared
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Cost, Estimator
from estimlab.measurement.groups import Groups
from estimlab.references.saved import hexed, packed, unhexed, unpacked

if TYPE_CHECKING:
    from estimlab.measurement.measurement import Measurement

BLOCKS = ("mean", "variance", "reference", "reference_stderr")
_NUMBERS = {"inf": math.inf, "nan": math.nan}


def content_of(measurement: Measurement) -> dict[str, Any]:
    """All that is no array."""
    return {
        "estimator": repr(measurement.estimator),
        "catalogued": _is_rebuilt(measurement.estimator),
        "method": measurement.method,
        "layers": {layer: list(blocks) for layer, blocks in measurement.layers.items()},
        "cost": [measurement.cost.forward, measurement.cost.backward],
        "draws": float(measurement.draws).hex(),
        "grouped": measurement.groups is not None,
        "checks": hexed(measurement.checks),
    }


def arrays_of(measurement: Measurement) -> Arrays:
    """All tensors."""
    arrays: Arrays = {}
    for field in BLOCKS:
        arrays |= packed(field, getattr(measurement, field))
    return arrays | (_group_arrays(measurement.groups) if measurement.groups is not None else {})


def fields_of(content: dict[str, Any], arrays: Arrays, estimator: Estimator | None) -> dict[str, Any]:
    """The fields of a measurement.

    Args:
        content: from ``content_of``.
        arrays: from ``arrays_of``.
        estimator: what was measured, where it is not of the catalogue.
    """
    return {field: unpacked(field, arrays) for field in BLOCKS} | {
        "estimator": _estimator(content, estimator),
        "method": content["method"],
        "layers": {layer: tuple(blocks) for layer, blocks in content["layers"].items()},
        "cost": Cost(*content["cost"]),
        "draws": float.fromhex(content["draws"]),
        "groups": _groups(arrays, list(content["layers"])) if content["grouped"] else None,
        "checks": unhexed(content["checks"]),
    }


def _group_arrays(groups: Groups) -> Arrays:
    arrays = packed("groups", {"count": groups.count})
    arrays |= packed("groups/mean", groups.mean) | packed("groups/square", groups.square)
    for layer, found in groups.sums.items():
        arrays |= packed(f"groups/sums/{layer}", found)
    return arrays


def _groups(arrays: Arrays, layers: list[str]) -> Groups:
    sums = {layer: unpacked(f"groups/sums/{layer}", arrays) for layer in layers}
    mean, square = unpacked("groups/mean", arrays), unpacked("groups/square", arrays)
    return Groups(unpacked("groups", arrays)["count"], mean, square, sums)


def _estimator(content: dict[str, Any], given: Estimator | None) -> Estimator:
    """The one that is given, if it is the one that was measured; else that of the catalogue."""
    text = content["estimator"]
    if given is not None and repr(given) != text:
        raise EstimlabError(f"Measurement.load: {text} was measured, not {given!r}: give estimator={text}.")
    if given is not None:
        return given
    if not content["catalogued"]:
        raise EstimlabError(f"Measurement.load: {text} is not of the catalogue: give it, as estimator={text}.")
    return rebuilt(text)


def _is_rebuilt(estimator: Estimator) -> bool:
    try:
        return rebuilt(repr(estimator)) == estimator
    except EstimlabError:
        return False


def rebuilt(text: str) -> Estimator:
    """An estimator of the catalogue from its repr; nothing else of the text is executed.

    Errors:
        EstimlabError: a text that names anything else.
    """
    try:
        found = _value(ast.parse(text, mode="eval").body, _classes())
    except (SyntaxError, ValueError, KeyError) as error:
        raise EstimlabError(f"{text} is not made of classes of the catalogue.") from error
    if not isinstance(found, Estimator):
        raise EstimlabError(f"{text} is not an estimator.")
    return found


def _classes() -> dict[str, type]:
    """Classes that an estimator's repr may name."""
    importlib.import_module("estimlab.estimators").catalogue()  # loads the modules of all
    return {cls.__name__: cls for cls in _below(Declared) if cls.__module__.startswith("estimlab.estimators.")}


def _below(cls: type) -> list[type]:
    subclasses: list[type] = cls.__subclasses__()
    return [one for sub in subclasses for one in (sub, *_below(sub))]


def _value(node: ast.expr, classes: dict[str, type]) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        named = {str(keyword.arg): _value(keyword.value, classes) for keyword in node.keywords}
        return classes[node.func.id](*(_value(one, classes) for one in node.args), **named)
    if isinstance(node, ast.Tuple):
        return tuple(_value(one, classes) for one in node.elts)
    if isinstance(node, ast.Name):
        return _NUMBERS[node.id]
    return ast.literal_eval(node)
