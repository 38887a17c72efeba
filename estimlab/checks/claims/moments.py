"""Three ways to the same moments: the layerwise recursion, integrals of the estimator's own draws, and sampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from estimlab.checks.comparisons import TOLERANCE
from estimlab.checks.gates import Gate, detectable, flat, light, mean_gate, restricted, variance_gate
from estimlab.checks.integrals.factors import Integrated
from estimlab.checks.integrals.means import moments, settled
from estimlab.checks.problems.cases import Case
from estimlab.checks.problems.causes import blame
from estimlab.checks.problems.covering import COVERING
from estimlab.checks.problems.settings import PLAIN, Setting
from estimlab.checks.report import Refuted, Undecided, Unused
from estimlab.checks.sampling import refute_mean, rejected, sampler, seeds
from estimlab.checks.single_draws import SHOW_DRAW, close, mapped, tables_of
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.exact.moments import exact_moments
from estimlab.measurement.measurement import Measurement
from estimlab.model.laws import Logistic
from estimlab.randomness.quadrature import Rule
from estimlab.references.choice import exact_reference

DRAWS = 1 << 15
ROUNDING = 1e-13  # of variances, for an objective of size one: uniforms next to 1 have lost that much
MEASURED = f"el.measure(problem, estimator, draws={DRAWS})"
RECURSION = "el.exact_moments(problem, estimator)"
SHOW = """\
from estimlab.checks.integrals.means import moments

print({other}.table())
print(moments(problem, estimator).table())"""
SAMPLED = Setting((2, 2), batch=3, head=True)  # a problem for sampling, where no integral reaches one


def exact(estimator: Estimator, seed: int) -> str:
    """The layerwise recursion, which reads ``derivative_moments``, against integrals of the estimator's own draws."""
    assert isinstance(estimator, HardForward)
    _require_served(estimator)
    _require_factors(estimator, seed)
    found = {setting: _same_moments(setting, estimator) for setting in COVERING}
    wrong = [setting for setting, same in found.items() if same is False]
    if wrong:
        raise _refuted(wrong[0], estimator)
    agreed = [setting for setting, same in found.items() if same]
    if not agreed:
        return _by_sampling(SAMPLED.case, estimator, seed)
    return f"layerwise recursion = integral of the draws on {len(agreed)} of {len(found)} problems"


def _require_served(estimator: HardForward) -> None:
    try:
        estimator.derivative_moments(torch.zeros(1, dtype=torch.float64), Logistic())
    except EstimlabError as refusal:
        raise Unused(str(refusal)) from None


def _require_factors(estimator: HardForward, seed: int) -> None:
    """Draws are made of ``derivative()``, layer by layer: the pass that the framework makes with it gives the same."""

    def fails(setting: Setting) -> bool | None:
        problem = setting.case.build()
        try:
            tables = tables_of(problem, estimator, 8, seed)
            one, other = mapped(problem, estimator, tables), mapped(problem, Integrated(estimator), tables)
        except setting.unserved:
            return None
        return not close(one, other, 1e-12)

    wrong = next((setting for setting in COVERING if fails(setting)), None)
    if wrong is not None:
        blamed = blame(wrong, fails)
        said = "draws are not those of a pass in which derivative() stands for the derivative of each layer's bits"
        said += f"; {blamed.words}" if blamed.words else ""
        snippet = blamed.setting.case.snippet(estimator, SHOW_DRAW)
        raise Refuted(f"{said}; smallest: {blamed.setting.title}", snippet=snippet, cause=blamed.cause)


def _same_moments(setting: Setting, estimator: HardForward) -> bool | None:
    """Whether they agree; None where no integral reaches the problem, all is zero, or the estimator does not serve."""
    try:
        compared = _compared(setting, estimator)
    except setting.unserved:
        return None
    if compared is None or not any(bool(vector.any()) for vector in compared[:2]):
        return None
    return _close(compared[0], compared[1], 10 * compared[2])


def _compared(setting: Setting, estimator: HardForward) -> tuple[Tensor, Tensor, float] | None:
    """Mean and variance by an integral and by the recursion, and the error of the integral."""
    problem = setting.case.build()
    truth = exact_reference(problem)
    layers = _vector(exact_moments(problem, estimator, truth))

    def integrals(rule: Rule) -> Tensor | None:
        found = moments(problem, estimator, truth, rule)
        return None if found is None else _vector(found)

    found = settled(integrals, lambda vector: _close(vector, layers))
    rounding = ROUNDING * max(1.0, float(truth.expected.abs().max())) ** 2
    return None if found is None else (found[0], layers, found[1] + rounding)


def _refuted(setting: Setting, estimator: HardForward) -> Refuted:
    def fails(setting: Setting) -> bool | None:
        same = _same_moments(setting, estimator)
        return None if same is None else not same

    blamed = blame(setting, fails)
    compared = _compared(blamed.setting, estimator)
    assert compared is not None
    difference = (compared[0] - compared[1]).abs()
    what = "mean" if int(difference.argmax()) < len(difference) // 2 else "variance"
    said = f"{what} of the recursion and of the draws differ by {float(difference.max()):.2g}; look at "
    said += f"derivative_moments(), reads_uniform and kinks(); {blamed.setting.title}"
    said += f"; {blamed.words}" if blamed.words else ""
    snippet = blamed.setting.case.snippet(estimator, SHOW.format(other=RECURSION))
    return Refuted(said, effect=float(difference.max()), snippet=snippet, cause=blamed.cause)


def _vector(measured: Measurement) -> Tensor:
    """Means, then variances."""
    return torch.cat((flat(measured.mean), flat(measured.variance)))


def _close(one: Tensor, other: Tensor, error: float = 0.0) -> bool:
    return float((one - other).abs().max()) <= max(TOLERANCE * max(1.0, float(other.abs().max())), error)


def _by_sampling(case: Case, estimator: Estimator, seed: int) -> str:
    problem = case.build()
    layers, sample = exact_moments(problem, estimator), sampler(problem, estimator, DRAWS)
    sampled = light(sample(seeds(seed)[1]))
    if sampled is None:
        raise Undecided("no integral reaches it, and draws are heavy-tailed: few of them carry the variance")
    names = tuple(sampled.mean)
    layers = restricted(layers, names)
    refute_mean(case, estimator, lambda seed: restricted(sample(seed), names), seed, layers.mean)
    refuted = rejected(sample, lambda measured: variance_gate(measured, variances(layers)), seed)
    if refuted is not None:
        said = f"variance of a layer: z = {refuted[0].worst:.1f} in {DRAWS} draws; look at derivative_moments()"
        shown = f"print({MEASURED}.table())\nprint({RECURSION}.table())"
        raise Refuted(said, refuted[0].worst, snippet=case.snippet(estimator, shown))
    seen = 100 * detectable(sampled)
    raise Undecided(f"not rejected in {DRAWS} draws, where an error of {seen:.2g} % in the mean would be seen")


def declared_noise(estimator: Estimator, seed: int) -> str:
    """Sampling against integrals: they differ where cuts, kinks or degrees are declared otherwise than they are."""
    seen, heavy = [], ""
    for case in (PLAIN.case, Setting((1, 1), degree=3, head=True).case):
        problem = case.build()
        integral = moments(problem, estimator)
        if integral is None:
            continue
        sample = sampler(problem, estimator, DRAWS)
        sampled = sample(seeds(seed)[1])
        compared = light(sampled)
        if compared is None or compared.layers != sampled.layers:
            heavy = " (layers of heavy-tailed draws left out)"
        if compared is not None:
            _require_same(case, estimator, sample, restricted(integral, tuple(compared.mean)), seed)
            seen.append(detectable(compared))
    if not seen:
        raise Unused("not used: no integral over its noise is taken, or draws are too heavy-tailed to compare")
    found = f"integral and {DRAWS} draws agree; a difference of {100 * max(seen):.2g} % of the gradient would be seen"
    return found + heavy


def _require_same(
    case: Case, estimator: Estimator, sample: Callable[[int], Measurement], integral: Measurement, seed: int
) -> None:
    names = tuple(integral.mean)
    gates: dict[str, Callable[[Measurement], Gate]] = {
        "mean": lambda measured: mean_gate(restricted(measured, names), integral.mean),
        "variance": lambda measured: variance_gate(measured, variances(integral)),
    }
    for what, gate in gates.items():
        found = rejected(sample, gate, seed)
        if found is not None:
            raise Refuted(
                f"the {what} of {DRAWS} draws is {found[0].worst:.1f} standard errors from the integral over the "
                "noise: say how a draw depends on its uniforms (cuts and degree of noise.uniform(), or reads_uniform "
                "and kinks() of an activation)",
                z=found[0].worst,
                snippet=case.snippet(estimator, SHOW.format(other=MEASURED)),
            )


def variances(measured: Measurement) -> dict[str, float]:
    """Of every layer whose draws vary beyond rounding."""
    found = {layer: float(_join(measured.variance, names).sum()) for layer, names in measured.layers.items()}
    return {layer: value for layer, value in found.items() if value > 1e-20}


def _join(blocks: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
    return flat({name: blocks[name] for name in names})
