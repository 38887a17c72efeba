"""What a reference is and what it returns."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from estimlab import arrays as arrays_file
from estimlab.arguments import Named, refusal
from estimlab.declared import Declared
from estimlab.errors import EstimlabError
from estimlab.model.fingerprint import Fingerprint
from estimlab.model.problem import Problem
from estimlab.references.saved import fingerprint_of, fingerprint_record, hexed, packed, unhexed, unpacked


@dataclass(frozen=True, eq=False, repr=False)
class Gradient:
    """The gradient of the expected objective (mean over examples; no minus sign).

    Attributes:
        objective: the expected objective.
        value: one tensor per block, in float64.
        stderr: standard error of each coordinate; exactly zero if and only if the value is exact.
        expected: expected objective of each example.
        reference: repr of the reference that computed it.
        checks: facts that came with the computation, for example how far probabilities sum from one.
        fingerprint: of the problem that it belongs to; None where it was made by hand, then any problem is accepted.

    >>> import estimlab as el
    >>> truth = el.problems.truth("quadratic/v1")
    >>> truth.exact, list(truth.value), f"{truth.norm():.3f}"
    (True, ['stages.0.logits'], '1.136')
    """

    objective: float
    value: dict[str, Tensor]
    stderr: dict[str, Tensor]
    expected: Float[Tensor, " batch"]
    reference: str
    checks: dict[str, float] = field(default_factory=dict)
    fingerprint: Fingerprint | None = None

    def __post_init__(self) -> None:
        for name in ("value", "stderr"):
            blocks = getattr(self, name)
            if not isinstance(blocks, Mapping) or not all(isinstance(block, Tensor) for block in blocks.values()):
                raise refusal("Gradient", name, blocks, "a dictionary from the name of each block to a tensor")
            object.__setattr__(self, name, Named.of(getattr(self, name), "block"))

    def __repr__(self) -> str:
        """Objective, and per block its shape and norm, with the norm of its standard errors where it was sampled."""
        how = "exact" if self.exact else "sampled"
        lines = [f"gradient by {self.reference}: objective {self.objective:.6g}, {how}"]
        for name, block in self.value.items():
            error = "" if self.exact else f", standard error {float(self.stderr[name].norm()):.2g}"
            lines.append(f"  {name} {tuple(block.shape)}: norm {float(block.norm()):.4g}{error}")
        return "\n".join(lines)

    @property
    def exact(self) -> bool:
        """True where every standard error is zero."""
        return all(bool((error == 0).all()) for error in self.stderr.values())

    def check_blocks(self, problem: Problem) -> None:
        """Raise unless the blocks are those of the problem's network, in name and shape."""
        mine = {name: tuple(value.shape) for name, value in self.value.items()}
        theirs = {name: tuple(p.shape) for name, p in problem.network.named_parameters()}
        if mine != theirs:
            raise EstimlabError(
                f"The reference has the blocks {mine}, the network has {theirs}: compute the reference on this problem."
            )

    def check_problem(self, problem: Problem) -> None:
        """Raise unless this is the gradient of the problem as it is now, or was made by hand."""
        self.check_blocks(problem)
        differences = [] if self.fingerprint is None else list(self.fingerprint.differences(problem))
        if differences:
            raise EstimlabError(
                "The reference belongs to another problem, or the problem has changed since: other "
                f"{' and '.join(differences)}. Compute it again, as el.exact_reference(problem); where "
                "you know that the gradient is the same, give dataclasses.replace(reference, fingerprint=None)."
            )

    def save(self, path: str | Path) -> Path:
        """Write all of it, the fingerprint included, to one file that ends in ``.npz``; returns the path."""
        content = {
            "objective": float(self.objective).hex(),
            "reference": self.reference,
            "checks": hexed(self.checks),
            "fingerprint": fingerprint_record(self.fingerprint),
        }
        arrays = (
            packed("value", self.value)
            | packed("stderr", self.stderr)
            | packed("objective", {"expected": self.expected})
        )
        return arrays_file.save(path, "Gradient", content, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Gradient:
        """Read what ``save`` wrote, bit by bit the same, on the CPU.

        Errors:
            EstimlabError: no such file, one of something else, or a damaged one.
        """
        content, arrays = arrays_file.load(path, "Gradient")
        return cls(
            objective=float.fromhex(content["objective"]),
            value=unpacked("value", arrays),
            stderr=unpacked("stderr", arrays),
            expected=unpacked("objective", arrays)["expected"],
            reference=content["reference"],
            checks=unhexed(content["checks"]),
            fingerprint=fingerprint_of(content["fingerprint"]),
        )

    def norm(self) -> float:
        """Euclidean norm over all blocks."""
        return float(torch.cat([value.flatten() for value in self.value.values()]).norm())


class Reference(Declared, abc.ABC):
    """A way to compute the true gradient. Works on a float64 copy of the problem.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> one, other = (way.gradient(problem) for way in (el.LayerwiseEnumeration(), el.PathEnumeration()))
    >>> abs(one.objective - other.objective) < 1e-12
    True
    """

    @classmethod
    def choices(cls) -> list[type]:
        """All that are public."""
        for module in ("layerwise", "paths", "monte_carlo"):
            importlib.import_module(f"estimlab.references.{module}")
        return super().choices()

    @classmethod
    def called(cls) -> str:
        """What one is called in a sentence."""
        return "a reference such as el.LayerwiseEnumeration(), or the el.Gradient that it returned"

    @classmethod
    def advice(cls, value: Any) -> str:
        """What to write in place of what is often given for one."""
        if isinstance(value, Mapping):
            return "A gradient is more than its blocks: compute it by el.exact_reference(problem)."
        if isinstance(value, (int, float)):
            return f"To set the number of draws write draws={value!r}."
        return ""

    @abc.abstractmethod
    def gradient(self, problem: Problem) -> Gradient:
        """The gradient of the problem's expected objective by every block."""


def exact_gradient(
    reference: Reference,
    problem: Problem,
    fingerprint: Fingerprint,
    expected: Tensor,
    value: dict[str, Tensor],
    checks: dict[str, float],
) -> Gradient:
    """A ``Gradient`` without standard error, checked to be finite; the fingerprint was taken before it was computed."""
    stderr = {name: torch.zeros_like(block) for name, block in value.items()}
    for name, block in value.items():
        if not bool(torch.isfinite(block).all()):
            problem.check_finite()
            raise FloatingPointError(f"The exact gradient of {name!r} is not finite.")
    objective, owner = float(expected.mean()), fingerprint.after(problem)
    return Gradient(objective, value, stderr, expected.detach(), repr(reference), checks, owner)
