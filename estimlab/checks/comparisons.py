"""A mean by integrals over the noise beside the true gradient, on one problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from estimlab.checks.gates import flat
from estimlab.checks.integrals.means import MeanOf, settled
from estimlab.checks.problems.settings import Setting
from estimlab.estimators.base import Estimator
from estimlab.measurement.measurement import Measurement
from estimlab.randomness.quadrature import Rule
from estimlab.references.choice import exact_reference

TOLERANCE = 1e-10
WEAKEST = 1e-6  # bias that an integral which is less precise must tell from none; the report states its precision
ROUNDING = 1e-14  # absolute, for an objective of order one and a law of scale one: 1 - p has lost that much

Blocks = Callable[[Setting], tuple[str, ...]]
"""The blocks that are judged, by the beginnings of their names."""


@dataclass(frozen=True)
class Comparison:
    """A mean beside the true gradient, on one problem.

    Attributes:
        setting: the problem.
        bias: norm of the difference over that of the truth.
        factor: of the truth, of which the mean is closest to a multiple.
        rest: what that multiple leaves, over the norm of the truth.
        error: of an integral, over the norm of the truth; zero where it is rounding.
        wrong: blocks whose difference is more than the precision of the integral and rounding.
        vanishing: whether the truth is zero in a block: what is always zero there is right by chance.
    """

    setting: Setting
    bias: float
    factor: float
    rest: float
    error: float
    wrong: tuple[str, ...]
    vanishing: bool

    @property
    def unbiased(self) -> bool:
        """Whether there is no bias, to the precision of the integral."""
        return not self.wrong

    @property
    def decides(self) -> bool:
        """Whether the integral is precise enough to be told from none, or from some bias."""
        return bool(self.wrong) or self.bias <= TOLERANCE or 10 * self.error <= WEAKEST


def bias_of(mean: Tensor, truth: Tensor) -> tuple[float, float, float]:
    """``bias``, ``factor`` and ``rest``; absolute where the truth is zero."""
    norm = float(truth.norm()) or 1.0
    factor = float(mean @ truth) / norm**2
    return float((mean - truth).norm()) / norm, factor, float((mean - factor * truth).norm()) / norm


def compared(
    settings: Iterable[Setting], estimator: Estimator, blocks: Blocks, mean_of: MeanOf
) -> tuple[list[Comparison], str]:
    """Comparisons on the problems that an integral reaches and decides, and what the first refusal said.

    An estimator may serve some problems only, and says so: a refusal is no failure.
    """
    found, refusal = list[Comparison](), ""
    for setting in settings:
        try:
            comparison = compare(setting, estimator, blocks, mean_of)
        except setting.unserved as error:
            refusal = refusal or f"{setting.title}: {error}"
            continue
        if comparison is not None and comparison.decides:
            found.append(comparison)
    return found, refusal


def compare(setting: Setting, estimator: Estimator, blocks: Blocks, mean_of: MeanOf) -> Comparison | None:
    """The comparison on one problem; None where the integral does not reach it, or there is nothing to judge."""
    problem = setting.case.build()
    reference = exact_reference(problem)
    truth = part(reference.value, blocks(setting))
    if not truth:
        return None
    rounding = ROUNDING * (1 + float(reference.expected.abs().max())) / setting.scale

    def integral(rule: Rule) -> Tensor | None:
        found = mean_of(problem, estimator, reference, rule)
        return None if found is None else flat(part(found, blocks(setting)))

    def wrong(mean: Tensor, error: float = 0.0) -> tuple[str, ...]:
        differences = _split(mean - flat(truth), truth)
        return tuple(
            name
            for name, value in truth.items()
            if not float(differences[name].norm()) <= TOLERANCE * float(value.norm()) + rounding + 10 * error
        )

    found = settled(integral, lambda mean: not wrong(mean))
    if found is None:
        return None
    mean, error = found
    vanishing = not all(bool(block.any()) for block in truth.values())
    norm = float(flat(truth).norm()) or 1.0
    return Comparison(setting, *bias_of(mean, flat(truth)), error / norm, wrong(mean, error), vanishing)


def part(blocks: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """The blocks whose name begins so."""
    return {name: block for name, block in blocks.items() if name.startswith(prefixes)}


def _split(vector: Tensor, blocks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(blocks, vector.split([block.numel() for block in blocks.values()]), strict=True))


def describe(found: list[Comparison]) -> str:
    """A common factor where there is one, else the range of biases."""
    if all(one.unbiased for one in found):
        return "the mean is the true gradient"
    factors = [one.factor for one in found]
    if max(one.rest for one in found) < 1e-6 and max(factors) - min(factors) < 1e-6:
        return f"the mean is {factors[0]:.4f} x the true gradient"
    between = f"{min(factors):.3f} to {max(factors):.3f}" if len(found) > 1 else f"{factors[0]:.3f}"
    return (
        f"relative bias up to {max(one.bias for one in found):.3g}; along the true gradient the mean is {between} x it"
    )


def describe_sampled(measured: Measurement, expected: Mapping[str, Tensor]) -> tuple[str, float]:
    """The same of a sampled mean, and its relative bias."""
    bias, factor, _ = bias_of(flat(measured.mean), flat(expected))
    return f"relative bias {bias:.3g}; along what is expected the mean is {factor:.3f} x it", bias
