"""Two ways to the same moments: the layerwise recursion, the estimator's own surrogate, and sampling."""

from __future__ import annotations

from torch import Tensor

from estimlab.checks.cases import Case, deep, one_layer
from estimlab.checks.expectation import TOLERANCE, judge_means, nodes, reached
from estimlab.checks.gates import Gate, detectable, flat, mean_gate, variance_gate
from estimlab.checks.report import Refuted, Undecided
from estimlab.estimators.base import Estimator, HardForward
from estimlab.measurement.exact import exact_moments
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.monte_carlo import measure
from estimlab.measurement.quadrature import quadrature_moments

DRAWS = 1 << 15
NODES = 1 << 17
SHOW_BOTH = """\
print(el.exact_moments(problem, estimator).table())
print({other}.table())"""


def exact(estimator: Estimator) -> str:
    """The layerwise recursion, which reads ``derivative_moments``, against the surrogate on the same problem."""
    assert isinstance(estimator, HardForward)
    cases = [deep((2, 2), batch=2), deep((1, 1), batch=1), one_layer(1, 2)]
    case = next((case for case in cases if nodes(case.build(), estimator) <= NODES), None)
    if case is None:
        return _by_sampling(cases[0], estimator)
    problem = case.build()
    layers, paths = exact_moments(problem, estimator), quadrature_moments(problem, estimator)
    for what, one, other in (("mean", layers.mean, paths.mean), ("variance", layers.variance, paths.variance)):
        error = float((flat(one) - flat(other)).abs().max())
        if error > TOLERANCE * max(1.0, float(flat(other).abs().max())):
            snippet = case.snippet(estimator, SHOW_BOTH.format(other="el.quadrature_moments(problem, estimator)"))
            said = f"{what} of the recursion and of the surrogate differ by {error:.2g}; look at derivative_moments()"
            raise Refuted(f"{said}, reads_uniform and kinks()", effect=error, snippet=snippet)
    return f"layerwise recursion = integral of the surrogate ({case.title})"


def _by_sampling(case: Case, estimator: Estimator) -> str:
    problem = case.build()
    layers, sampled = exact_moments(problem, estimator), measure(problem, estimator, draws=DRAWS)
    judge_means(case, estimator, sampled, layers.mean)
    _refute_variance(case, estimator, sampled, _variances(layers))
    seen = 100 * detectable(sampled)
    raise Undecided(f"not rejected in {DRAWS} draws, where an error of {seen:.2g} % in the mean would be seen")


def declared_noise(estimator: Estimator) -> str:
    """Sampling against quadrature: they differ where cuts, kinks or degrees are declared otherwise than they are."""
    cases = [one_layer(1, 3), deep((1, 1), 3, batch=1)]
    served, seen = [case for case in cases if reached(case.build(), estimator)], 0.0
    for case in served:
        problem = case.build()
        exact, sampled = quadrature_moments(problem, estimator), measure(problem, estimator, draws=DRAWS)
        if mean_gate(sampled, exact.mean).rejects:
            raise _differs("mean", mean_gate(sampled, exact.mean), case, estimator)
        gate = variance_gate(sampled, _variances(exact))
        if gate.rejects:
            raise _differs("variance", gate, case, estimator)
        seen = max(seen, detectable(sampled))
    if not served:
        return "not used: there are too many joint nodes for quadrature"
    return f"quadrature and {DRAWS} draws agree; a difference of {100 * seen:.2g} % of the gradient would be seen"


def _differs(what: str, gate: Gate, case: Case, estimator: Estimator) -> Refuted:
    return Refuted(
        f"the {what} of {DRAWS} draws is {gate.worst:.1f} standard errors from the integral over the noise: say how a "
        "draw depends on its uniforms (cuts and degree of noise.uniform(), or reads_uniform and kinks() of an "
        "activation)",
        z=gate.worst,
        snippet=case.snippet(estimator, _compare("el.quadrature_moments")),
    )


def _compare(other: str) -> str:
    return f"print(el.measure(problem, estimator, draws={DRAWS}).table())\nprint({other}(problem, estimator).table())"


def _refute_variance(case: Case, estimator: Estimator, sampled: Measurement, expected: dict[str, float]) -> None:
    gate = variance_gate(sampled, expected)
    if gate.rejects:
        said = f"variance of a layer: z = {gate.worst:.1f} in {DRAWS} draws; look at derivative_moments()"
        raise Refuted(said, gate.worst, snippet=case.snippet(estimator, _compare("el.exact_moments")))


def _variances(measured: Measurement) -> dict[str, float]:
    """Of every layer whose draws vary beyond rounding."""
    found = {layer: float(_join(measured.variance, names).sum()) for layer, names in measured.layers.items()}
    return {layer: value for layer, value in found.items() if value > 1e-20}


def _join(blocks: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
    return flat({name: blocks[name] for name in names})
