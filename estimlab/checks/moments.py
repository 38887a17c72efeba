"""Three ways to the same moments: the layerwise recursion, integrals of the estimator's own draws, and sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from estimlab.checks.cases import Case, deep, one_layer
from estimlab.checks.expectation import LAWS, TOLERANCE, judge_means
from estimlab.checks.gates import detectable, flat, light, mean_gate, restricted, variance_gate
from estimlab.checks.integrals import moments, settled
from estimlab.checks.report import Refuted, Undecided, Unused
from estimlab.errors import EstimlabError
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.exact import exact_moments
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.monte_carlo import measure
from estimlab.model.problem import Problem
from estimlab.model.units import Logistic
from estimlab.randomness import Rule

DRAWS = 1 << 15
MEASURED = f"el.measure(problem, estimator, draws={DRAWS}, seed={{seed}})"
RECURSION = "el.exact_moments(problem, estimator)"
SHOW = """\
from estimlab.checks.integrals import moments

print({other}.table())
print(moments(problem, estimator).table())"""


def exact(estimator: Estimator, seed: int) -> str:
    """The layerwise recursion, which reads ``derivative_moments``, against integrals of the estimator's own draws."""
    assert isinstance(estimator, HardForward)
    _require_served(estimator)
    cases = [deep((2, 2), batch=2), deep((1, 1), batch=1), *(one_layer(1, 2, law) for law in LAWS)]
    agreed = [case for case in cases if _same_moments(case, estimator)]
    if not agreed:
        return _by_sampling(cases[0], estimator, seed)
    return f"layerwise recursion = integral of the draws on {len(agreed)} problem(s), the largest {agreed[0].title}"


def _require_served(estimator: HardForward) -> None:
    try:
        estimator.derivative_moments(torch.zeros(1, dtype=torch.float64), Logistic())
    except EstimlabError as refusal:
        raise Unused(str(refusal)) from None


def _same_moments(case: Case, estimator: HardForward) -> bool:
    """Whether an integral reaches the case, and agrees; a law that the estimator does not serve is not reached."""
    problem = case.build()
    try:
        layers = _vector(exact_moments(problem, estimator))
        found = settled(lambda rule: _integrals(problem, estimator, rule), lambda vector: _close(vector, layers))
    except EstimlabError:
        return False
    if found is None:
        return False
    integral, error = found
    if not _close(integral, layers, 10 * error):
        difference = (integral - layers).abs()
        what = "mean" if int(difference.argmax()) < len(difference) // 2 else "variance"
        said = f"{what} of the recursion and of the draws differ by {float(difference.max()):.2g}; look at "
        snippet = case.snippet(estimator, SHOW.format(other=RECURSION))
        said += f"derivative_moments(), reads_uniform and kinks(); {case.title}"
        raise Refuted(said, effect=float(difference.max()), snippet=snippet)
    return True


def _integrals(problem: Problem, estimator: Estimator, rule: Rule) -> Tensor | None:
    found = moments(problem, estimator, rule=rule)
    return None if found is None else _vector(found)


def _vector(measured: Measurement) -> Tensor:
    """Means, then variances."""
    return torch.cat((flat(measured.mean), flat(measured.variance)))


def _close(one: Tensor, other: Tensor, error: float = 0.0) -> bool:
    return float((one - other).abs().max()) <= max(TOLERANCE * max(1.0, float(other.abs().max())), error)


def _by_sampling(case: Case, estimator: Estimator, seed: int) -> str:
    problem = case.build()
    layers = exact_moments(problem, estimator)
    sampled = light(measure(problem, estimator, draws=DRAWS, seed=seed))
    if sampled is None:
        raise Undecided("no integral reaches it, and draws are heavy-tailed: few of them carry the variance")
    layers = restricted(layers, tuple(sampled.mean))
    judge_means(case, estimator, sampled, seed, layers.mean)
    _refute_variance(case, estimator, sampled, _variances(layers), seed)
    seen = 100 * detectable(sampled)
    raise Undecided(f"not rejected in {DRAWS} draws, where an error of {seen:.2g} % in the mean would be seen")


def declared_noise(estimator: Estimator, seed: int) -> str:
    """Sampling against integrals: they differ where cuts, kinks or degrees are declared otherwise than they are."""
    seen, heavy = [], ""
    for case in (one_layer(1, 3), deep((1, 1), 3, batch=1)):
        problem = case.build()
        integral = moments(problem, estimator)
        if integral is None:
            continue
        sampled = measure(problem, estimator, draws=DRAWS, seed=seed)
        compared = light(sampled)
        if compared is None or compared.layers != sampled.layers:
            heavy = " (layers of heavy-tailed draws left out)"
        if compared is not None:
            _require_same(case, estimator, compared, restricted(integral, tuple(compared.mean)), seed)
            seen.append(detectable(compared))
    if not seen:
        raise Unused("not used: no integral over its noise is taken, or draws are too heavy-tailed to compare")
    found = f"integral and {DRAWS} draws agree; a difference of {100 * max(seen):.2g} % of the gradient would be seen"
    return found + heavy


def _require_same(case: Case, estimator: Estimator, sampled: Measurement, integral: Measurement, seed: int) -> None:
    variances = variance_gate(sampled, _variances(integral))
    for what, gate in (("mean", mean_gate(sampled, integral.mean)), ("variance", variances)):
        if gate.rejects:
            raise Refuted(
                f"the {what} of {DRAWS} draws is {gate.worst:.1f} standard errors from the integral over the noise: "
                "say how a draw depends on its uniforms (cuts and degree of noise.uniform(), or reads_uniform and "
                "kinks() of an activation)",
                z=gate.worst,
                snippet=case.snippet(estimator, SHOW.format(other=MEASURED.format(seed=seed))),
            )


def _refute_variance(
    case: Case, estimator: Estimator, sampled: Measurement, expected: dict[str, float], seed: int
) -> None:
    gate = variance_gate(sampled, expected)
    if gate.rejects:
        said = f"variance of a layer: z = {gate.worst:.1f} in {DRAWS} draws; look at derivative_moments()"
        shown = f"print({MEASURED.format(seed=seed)}.table())\nprint({RECURSION}.table())"
        raise Refuted(said, gate.worst, snippet=case.snippet(estimator, shown))


def _variances(measured: Measurement) -> dict[str, float]:
    """Of every layer whose draws vary beyond rounding."""
    found = {layer: float(_join(measured.variance, names).sum()) for layer, names in measured.layers.items()}
    return {layer: value for layer, value in found.items() if value > 1e-20}


def _join(blocks: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
    return flat({name: blocks[name] for name in names})
