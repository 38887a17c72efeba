"""Statements about other people's functions as cells of a study: what is said, what is measured, and the verdict."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import torch

from estimlab.results.study import Cell

EXACT_TOLERANCE = 1e-4  # relative; many packages compute in float32
SMALLEST = 0.01  # a bias that matters
LARGEST = 0.05  # a precision that suffices
CRITICAL = 4.4  # two-sided 1e-5 each: 1e-3 for a hundred claims


@dataclass(frozen=True)
class Claim(Cell):
    """One statement about one function.

    Attributes:
        package: name on the package index.
        function: what is called, for people.
        code: Python that defines ``call(a)``, or ``gradients(a, f)``, as its documentation says to call it.
        claim: what is said.
        source: where it is said.
        kind: ``stated``, ``implied`` (by a formula or a cited method that the function is named after), ``control``.
        note: what else a reader should know.
    """

    revision: ClassVar[int] = 2

    package: str
    function: str
    code: str
    claim: str
    source: str
    kind: str = "stated"
    note: str = ""

    @property
    def title(self) -> str:
        """Package, function and claim."""
        return f"{self.package} {self.function}: {self.claim}"

    def defined(self, name: str) -> Any:
        """What the code defines."""
        namespace: dict[str, Any] = {"torch": torch}
        exec(self.code, namespace)
        return namespace[name]

    def snippet(self) -> str:
        """A script that needs torch and the package only; it ends with ``ratio`` and ``stderr``."""
        lines = ["import torch", self.code.strip(), "torch.manual_seed(0)", *self.measuring(), "print(ratio, stderr)"]
        return "\n".join(lines)

    def fault(self) -> str | None:
        """The error that the snippet itself raises, without estimlab; None where it raises none."""
        script = self.snippet()
        try:
            with torch.random.fork_rng(devices=[]):
                exec(script, {"print": lambda *values: None})
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    @abc.abstractmethod
    def measuring(self) -> list[str]:
        """The lines of the snippet that measure."""

    @abc.abstractmethod
    def judge(self) -> dict[str, Any]:
        """Columns ``ratio``, ``stderr``, ``effect``, ``draws``, ``conditions``, ``method``.

        Also ``scaled`` where a positive constant is all that parts a rule from the documented one: the scale of a
        surrogate gradient is a convention, so that the verdict is ``another scale`` and not ``refuted``.
        """

    def run(self) -> list[dict[str, Any]]:
        """One row."""
        said = {name: getattr(self, name) for name in ("package", "function", "claim", "kind")}
        head = {**said, "stated_in": self.source, "version": installed(self.package), "call": self.code.strip()}
        if not head["version"]:
            return [_row(head, "not covered", note=f"{self.package} is not installed")]
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                found = self.judge()
        except ImportError as error:
            return [_row(head, "not covered", note=f"{self.package} cannot be imported: {error}"[:300])]
        except Exception:
            fault = self.fault()
            if fault is None:
                raise  # ours, not theirs
            return [_row(head, "refuted", note=f"raises {fault}"[:300], snippet=self.snippet())]
        answer, z = verdict(found["effect"], found["stderr"])
        if answer == "refuted" and found.get("scaled", False):
            answer = "another scale"
        snippet = "" if answer in ("holds", "undecided") else self.snippet()
        return [_row({**head, **found}, answer, z=z, note=self.note, snippet=snippet)]


_SAID = ("package", "version", "function", "claim", "kind", "stated_in", "verdict", "conditions", "method")
_NUMBERS = ("ratio", "stderr", "effect", "z")


def _row(found: dict[str, Any], answer: str, **more: Any) -> dict[str, Any]:
    values = {**found, **more, "verdict": answer}
    row = {name: values.get(name, "") for name in _SAID}
    row |= {name: values.get(name, math.nan) for name in _NUMBERS}
    return row | {"draws": values.get("draws")} | {name: values.get(name, "") for name in ("note", "call", "snippet")}


def verdict(effect: float, stderr: float) -> tuple[str, float]:
    """Holds, refuted or undecided, and the z-score; exact where there is no standard error.

    >>> verdict(effect=0.0, stderr=0.0)[0], verdict(effect=0.3, stderr=0.01)[0], verdict(effect=0.0, stderr=0.1)[0]
    ('holds', 'refuted', 'undecided')
    """
    if stderr == 0:
        return ("holds" if abs(effect) <= EXACT_TOLERANCE else "refuted"), math.nan
    z = effect / stderr
    if abs(z) > CRITICAL and abs(effect) > SMALLEST:
        return "refuted", z
    return ("holds" if abs(effect) + 1.96 * stderr < LARGEST else "undecided"), z


def installed(package: str) -> str:
    """Version, empty where the package is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
