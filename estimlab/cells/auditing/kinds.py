"""How a statement is tested: by a mean gradient, by a documented derivative, by a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from estimlab.adapters.calls import Interface
from estimlab.adapters.functions import RelaxedFunction, SampledFunction, SpikeFunction
from estimlab.adapters.losses import SurrogateLoss, from_gradient
from estimlab.cells.auditing.claim import EXACT_TOLERANCE, Claim
from estimlab.cells.makers import Bits
from estimlab.estimators.base import Estimator
from estimlab.measurement.exact.moments import exact_moments
from estimlab.measurement.mapped import record
from estimlab.measurement.measurement import Measurement
from estimlab.measurement.quadrature import quadrature_moments
from estimlab.measurement.sampled.monte_carlo import measure
from estimlab.model.laws import Logistic, NoiseLaw
from estimlab.model.objectives import Polynomial
from estimlab.model.problem import Problem
from estimlab.randomness.quadrature import QuadratureGrid


@final
@dataclass(frozen=True)
class MeanGradient(Claim):
    """The mean of the estimate is the gradient of ``E f``, one unit, ``f(x) = (x + 1/3)^degree``, states 0 and 1.

    Attributes:
        degree: of f.
        at: pre-activation.
        law: of the states.
        probability: P(high) as a formula of a, for the snippet.
        adapter: ``sampled``, ``relaxed`` or ``spike`` where the code defines ``call``, ``loss`` where ``gradients``.
        interface: of ``call``.
        draws: where moments are not exact.

    >>> code = "call = lambda p: torch.bernoulli(p.detach()) + p - p.detach()"
    >>> claim = MeanGradient("torch", "bernoulli", code, "unbiased", "its page", degree=2, interface="probability")
    >>> claim.run()[0]["verdict"], f"{claim.run()[0]['ratio']:.3f}"
    ('refuted', '1.202')
    """

    degree: int = 1
    at: float = 0.7
    law: NoiseLaw = Logistic()
    probability: str = "torch.sigmoid(a)"
    adapter: str = "sampled"
    interface: Interface = "logit"
    draws: int = 1 << 17

    def problem(self) -> Problem:
        """One unit."""
        return Bits("bit", Polynomial(float(self.degree), -1 / 3), (self.at,), self.law).build()

    def estimator(self) -> Estimator:
        """The code, adapted."""
        if self.adapter != "loss":
            kinds = {"sampled": SampledFunction, "relaxed": RelaxedFunction, "spike": SpikeFunction}
            return kinds[self.adapter](self.defined("call"), self.interface, law=self.law)
        gradients = self.defined("gradients")

        def loss(problem: Problem) -> Tensor:
            def f(x: Tensor) -> Tensor:
                return problem.objective(x[..., :1].reshape(-1, 1), None).reshape(x.shape[:-1])

            return from_gradient(problem, lambda a: gradients(a, f))

        return SurrogateLoss(loss)

    def measurement(self) -> Measurement:
        """Exact where the function draws bits only."""
        problem, estimator = self.problem(), self.estimator()
        if getattr(getattr(estimator, "probe", None), "decides", False) or isinstance(estimator, SpikeFunction):
            return exact_moments(problem, estimator)
        requests = record(problem, estimator)
        if all(request.degree == 0 for request in requests.values()) and QuadratureGrid(requests).size <= 1 << 10:
            return quadrature_moments(problem, estimator)
        return measure(problem, estimator, draws=self.draws)

    def judge(self) -> dict[str, Any]:
        """Ratio of the mean to the truth."""
        measured = self.measurement()
        mean = _only(measured.mean)
        variance = _only(measured.variance)
        truth = _only(measured.reference)
        sampled = math.isfinite(measured.draws)
        stderr = math.sqrt(variance / measured.draws) / abs(truth) if sampled else 0.0
        where = f"one unit, a = {self.at:g}, states 0 and 1, f(x) = (x + 1/3)^{self.degree}"
        return {
            "ratio": mean / truth,
            "stderr": stderr,
            "effect": mean / truth - 1,
            "draws": int(measured.draws) if sampled else None,
            "conditions": where,
            "method": measured.method,
        }

    def measuring(self) -> list[str]:
        """Draws as rows of one call."""
        defined = [] if self.adapter == "loss" else _GRADIENTS[self.interface]
        return [
            *defined,
            f"f = lambda x: (x[..., 0] + 1 / 3) ** {self.degree}",
            f"a = torch.full(({self.draws}, 1), {self.at}, dtype=torch.float64, requires_grad=True)",
            "draws = gradients(a, f).detach().double()",
            f"one = torch.tensor({self.at}, dtype=torch.float64, requires_grad=True)",
            f"slope, = torch.autograd.grad((lambda a: {self.probability})(one), one)",
            f"truth = slope * ((4 / 3) ** {self.degree} - (1 / 3) ** {self.degree})",
            "ratio = float(draws.mean() / truth)",
            "stderr = float(draws.std() / len(draws) ** 0.5 / truth)",
        ]


def _only(blocks: Mapping[str, Tensor]) -> float:
    """The coordinate of one unit."""
    (block,) = blocks.values()
    return block.item()


_LEAF = "    return torch.autograd.grad(f(x).sum(), a)[0]"
_GRADIENTS = {
    "logit": ["def gradients(a, f):", "    x = call(a)", _LEAF],
    "probability": ["def gradients(a, f):", "    x = call(torch.sigmoid(a))", _LEAF],
    "two logits": ["def gradients(a, f):", "    x = call(torch.stack((0 * a, a), -1))[..., 1]", _LEAF],
}


@final
@dataclass(frozen=True)
class BackwardFormula(Claim):
    """The derivative that autograd returns is the documented one.

    Attributes:
        formula: of a, plain torch.
        at: pre-activations.

    >>> formula = "torch.sigmoid(U) * torch.sigmoid(-U)"
    >>> claim = BackwardFormula("torch", "sigmoid", "call = torch.sigmoid", "slope", "its page", formula=formula)
    >>> claim.run()[0]["verdict"]
    'holds'
    """

    formula: str = ""
    at: tuple[float, ...] = (-1.3, -0.4, -0.02, 0.03, 0.6, 1.7)

    def judge(self) -> dict[str, Any]:
        """Ratio by least squares over the points, largest difference relative to the largest value."""
        namespace: dict[str, Any] = {}
        exec(self.snippet().rpartition("\n")[0], namespace)
        return {
            "ratio": namespace["ratio"],
            "stderr": 0.0,
            "effect": namespace["effect"],
            "scaled": namespace["ratio"] > 0 and namespace["shape"] <= EXACT_TOLERANCE,
            "conditions": f"U = {', '.join(map(str, self.at))}",
            "method": "exact",
        }

    def measuring(self) -> list[str]:
        """Both at the points."""
        return [
            f"a = torch.tensor({list(self.at)}, dtype=torch.float64, requires_grad=True)",
            "slope, = torch.autograd.grad(call(a).double().sum(), a)",
            f"documented = (lambda U: {self.formula})(a.detach())",
            "ratio = float((slope * documented).sum() / (documented**2).sum())",
            "effect = float((slope - documented).abs().max() / documented.abs().max())",
            "shape = float((slope - ratio * documented).abs().max() / slope.abs().max())",
            "stderr = 0.0",
        ]


@final
@dataclass(frozen=True)
class Number(Claim):
    """A number that the code measures is the one that follows from the claim.

    Attributes:
        measured: expression of ``call`` and ``torch``.
        expected: number.
        errors: expression of the standard error of ``measured``, zero where it is exact.
        conditions: what is measured.
        draws: behind it.

    >>> half = "call(torch.zeros(()))"
    >>> claim = Number("torch", "sigmoid", "call = torch.sigmoid", "F(0) = 1/2", "", measured=half, expected=0.5)
    >>> claim.run()[0]["verdict"], claim.run()[0]["ratio"]
    ('holds', 1.0)
    """

    measured: str = ""
    expected: float = 1.0
    errors: str = "0.0"
    conditions: str = ""
    draws: int = 0

    def judge(self) -> dict[str, Any]:
        """By running the snippet."""
        namespace: dict[str, Any] = {}
        exec(self.snippet().rpartition("\n")[0], namespace)
        ratio, stderr = namespace["ratio"], namespace["stderr"]
        effect = math.inf if math.isnan(ratio) else ratio - 1
        method = "monte_carlo" if stderr else "exact"
        return {
            "ratio": ratio,
            "stderr": stderr,
            "effect": effect,
            "draws": self.draws or None,
            "conditions": self.conditions,
            "method": method,
        }

    def measuring(self) -> list[str]:
        """One expression each."""
        return [
            f"measured = {self.measured}",
            f"ratio = float(measured) / {self.expected}",
            f"stderr = float({self.errors}) / {abs(self.expected)}",
        ]
