"""Reading the frozen problems: names, descriptions, problems, exact gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estimlab.errors import EstimlabError, closest
from estimlab.problems.storage import MANIFEST, read_arrays, read_manifest

if TYPE_CHECKING:  # names, descriptions and citations need no torch
    from torch import Tensor

    from estimlab.model.problem import Problem
    from estimlab.references.reference import Gradient


@dataclass(frozen=True)
class Description:
    """What a frozen problem is.

    Attributes:
        name: name and version, as ``load`` takes it.
        version: the version of the suite.
        summary: one sentence.
        widths: number of binary units of each layer.
        law: repr of the noise law.
        coding: values of the low and the high state.
        objective: repr of the objective.
        examples: number of examples; 1 for a network without input.
        stage: ``"init"``, ``"early"`` or ``"late"`` in training, or ``"fixed"`` where nothing was trained.
        expected_objective: the exact expected objective, mean over examples.
        sha256: hash of the content.

    >>> import estimlab as el
    >>> quadratic = el.problems.describe("quadratic/v1")
    >>> quadratic.coding, f"{quadratic.expected_objective:.3f}"
    ((-1.0, 1.0), '0.297')
    """

    name: str
    version: str
    summary: str
    widths: tuple[int, ...]
    law: str
    coding: tuple[float, float]
    objective: str
    examples: int
    stage: str
    expected_objective: float
    sha256: str


@dataclass(frozen=True)
class Suite:
    """One version of the suite, in a folder of npz files and a manifest.

    Attributes:
        folder: where it lies; the version is the manifest's.

    >>> newest = published()[-1]
    >>> newest.describe("quadratic/v1").widths
    (8,)
    """

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest."""
        return read_manifest(self.folder)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, with the version."""
        return tuple(f"{name}/{self.manifest['version']}" for name in self.manifest["problems"])

    def describe(self, name: str) -> Description:
        """The description of a problem, read from the manifest alone."""
        entry = self._entry(name)
        content = entry["content"]
        return Description(
            name=name,
            version=self.manifest["version"],
            summary=entry["summary"],
            widths=tuple(entry["widths"]),
            law=f"{content['law']['name']}(scale={content['law']['scale']!r})",
            coding=(content["low"], content["high"]),
            objective=_call(content["objective"]["name"], content["objective"]["fields"]),
            examples=entry["examples"],
            stage=entry["stage"],
            expected_objective=entry["expected_objective"],
            sha256=entry["sha256"],
        )

    def load(self, name: str) -> Problem:
        """The problem, its content checked against the hash."""
        from estimlab.problems.architecture import build_problem

        return build_problem(self._entry(name)["content"], self._tensors(name))

    def truth(self, name: str) -> Gradient:
        """The stored exact gradient, its content checked against the hash, with the fingerprint of the problem."""
        import torch

        from estimlab.model.fingerprint import Fingerprint
        from estimlab.references.reference import Gradient

        tensors, made = self._tensors(name), self._entry(name)["truth"]
        prefix = "truth.gradient."
        value = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        stderr = {block: torch.zeros_like(tensor) for block, tensor in value.items()}
        objective, expected = float(tensors["truth.objective"]), tensors["truth.expected"]
        owner = Fingerprint.of(self.load(name))
        return Gradient(objective, value, stderr, expected, made["reference"], dict(made["checks"]), owner)

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self.names:
            raise _unknown(name, self.names)
        return self.manifest["problems"][name.rpartition("/")[0]]

    def _tensors(self, name: str) -> dict[str, Tensor]:
        import torch

        entry = self._entry(name)
        arrays = read_arrays(self.folder / entry["file"], entry["content"], entry["sha256"])
        return {key: torch.tensor(array) for key, array in arrays.items()}


def published() -> tuple[Suite, ...]:
    """The versions that came with this installation, oldest first."""
    folders = [path.parent for path in Path(__file__).parent.glob(f"v*/{MANIFEST}")]
    return tuple(Suite(folder) for folder in sorted(folders, key=lambda folder: int(folder.name[1:])))


def suite_of(name: str) -> Suite:
    """The suite that has a problem of this name and version."""
    suites = published()
    for suite in suites:
        if name in suite.names:
            return suite
    raise _unknown(name, [known for suite in suites for known in suite.names])


def _unknown(name: str, known: tuple[str, ...] | list[str]) -> EstimlabError:
    versioned = [full for full in known if full.rpartition("/")[0] == name]
    hint = f" A name includes its version: {versioned[-1]!r}." if versioned else closest(name, known)
    return EstimlabError(f"There is no problem {name!r}; available are {', '.join(known)}.{hint}")


def _call(name: str, fields: Mapping[str, Any]) -> str:
    """The repr of a frozen dataclass, without making one."""
    return f"{name}({', '.join(f'{key}={_plain(value)!r}' for key, value in fields.items())})"


def _plain(value: Any) -> Any:
    return tuple(_plain(item) for item in value) if isinstance(value, list) else value
