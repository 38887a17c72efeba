"""Gradients and fingerprints as arrays and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from estimlab.arrays import Arrays
from estimlab.errors import EstimlabError
from estimlab.model.fingerprint import Fingerprint, Numbers


def packed(field: str, tensors: Mapping[str, Tensor]) -> Arrays:
    """Tensors of a field as arrays, under names of their own."""
    return {f"{field}/{name}": tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def unpacked(field: str, arrays: Arrays) -> dict[str, Tensor]:
    """The tensors of a field, on the CPU."""
    prefix = f"{field}/"
    found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return {name: torch.from_numpy(array) for name, array in found.items()}


def hexed(values: Mapping[str, float]) -> dict[str, str]:
    """Numbers as texts without rounding; JSON has no infinity."""
    return {name: float(value).hex() for name, value in values.items()}


def unhexed(values: Mapping[str, str]) -> dict[str, float]:
    """The numbers again."""
    return {name: float.fromhex(text) for name, text in values.items()}


def fingerprint_record(fingerprint: Fingerprint | None) -> dict[str, Any] | None:
    """A fingerprint as JSON."""
    if fingerprint is None:
        return None
    return {
        "parameters": {name: _record(numbers) for name, numbers in fingerprint.parameters.items()},
        "inputs": _record(fingerprint.inputs),
        "targets": _record(fingerprint.targets),
        "buffers": {name: _record(numbers) for name, numbers in fingerprint.buffers.items()},
        "network": fingerprint.network,
        "objective": fingerprint.objective,
    }


def fingerprint_of(record: Mapping[str, Any] | None) -> Fingerprint | None:
    """The fingerprint of its record."""
    if record is None:
        return None
    return Fingerprint(
        parameters={name: _numbers(one) for name, one in record["parameters"].items()},
        inputs=_numbers(record["inputs"]),
        targets=_numbers(record["targets"]),
        buffers={name: _numbers(one) for name, one in record["buffers"].items()},
        network=record["network"],
        objective=record["objective"],
    )


def _record(numbers: Numbers) -> dict[str, Any]:
    digests = {str(precision): digest for precision, digest in numbers.digests.items()}
    return {"precision": str(numbers.precision), "digests": digests}


def _numbers(record: Mapping[str, Any]) -> Numbers:
    digests = {_precision(name): digest for name, digest in record["digests"].items()}
    return Numbers(_precision(record["precision"]), digests)


def _precision(name: str) -> torch.dtype | None:
    if name == "None":
        return None
    found = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise EstimlabError(f"This torch has no {name!r}, which a fingerprint names: save the gradient again.")
    return found
