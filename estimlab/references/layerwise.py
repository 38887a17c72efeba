"""Layerwise enumeration: the exact gradient of a chain, of any depth, at the speed of a matrix product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch

from estimlab.declared import checked
from estimlab.errors import EstimlabError
from estimlab.model.fingerprint import Fingerprint
from estimlab.model.problem import Problem
from estimlab.references.plan import Plan, half_states, plan_enumeration
from estimlab.references.reference import Gradient, Reference, exact_gradient
from estimlab.references.sweep import Sweep

TABLE_ELEMENTS = 1 << 16  # of one product table, for all rows of a block: a few such tables stay in the cache
SHOW_AFTER = 2.0  # seconds of estimated work that a user sees the progress of


@final
@dataclass(frozen=True)
class LayerwiseEnumeration(Reference):
    """The exact gradient of a chain by recursion over the states of one layer at a time (our derivation).

    With ``V_L(x) = objective(head(x), target)`` on the states of the last layer and
    ``V_{k-1}(x) = sum_y P(y | x) V_k(y)``, the expected objective of an example is ``V_0(input)`` and

        dE/dtheta_k = sum_x pi_{k-1}(x) sum_i sum_s E[V_k | unit i in state s] dP(i in s | x)/dtheta_k,

    pi the marginal of the layer below; for binary units the inner sum is
    ``F'(a_i) (E[V_k | i high] - E[V_k | i low]) da_i/dtheta_k`` with a = stage_k(x). The cost is three matrix products
    of ``2 * N_k N_{k+1}`` flops, N = S^n the number of states of n units of S states, for each pair of adjacent layers
    and each distinct target; the paths, ``N_1 ... N_L`` in number, are never formed.

    Attributes:
        max_seconds: refuse, with the plan, what is estimated to take longer.
        max_bytes: refuse what needs more memory.
        block_rows: rows of a product table that are in memory at a time; chosen for the device where it is None.
        dtype: ``"float64"``, or ``"float32"``, which takes half the time and memory and leaves a relative error of
            some 1e-6 of the gradient's norm (a test bounds it by 1e-4).

    Errors:
        EstimlabError: not a chain; a layer that couples examples (batch norm in training mode); over budget.

    >>> import estimlab as el
    >>> network = el.Chain([el.Logits([0.0, 0.0])]).double()
    >>> truth = el.LayerwiseEnumeration().gradient(el.Problem(network, el.Quadratic(linear=(1.0, -1.0))))
    >>> [f"{value:.3f}" for value in truth.value["stages.0.logits"]]
    ['0.500', '-0.500']
    """

    max_seconds: float = 600.0
    max_bytes: float = 4e9
    block_rows: int | None = None
    dtype: Literal["float64", "float32"] = "float64"

    def __post_init__(self) -> None:
        for name in ("max_seconds", "max_bytes"):
            if not getattr(self, name) > 0:
                raise EstimlabError(f"LayerwiseEnumeration({name}={getattr(self, name)}): give a positive number.")
        if self.block_rows is not None and self.block_rows < 1:
            raise EstimlabError(f"LayerwiseEnumeration(block_rows={self.block_rows}): give a positive number, or None.")

    @staticmethod
    def serves(problem: Problem) -> bool:
        """Whether the problem's network can be enumerated layer by layer."""
        return problem.layered is not None

    def plan(self, problem: Problem) -> Plan:
        """States, flops, bytes and estimated seconds, without doing the work.

        One block of each shape is timed, once in a process: a fraction of a second where layers are wide.
        """
        Problem.given(problem, "LayerwiseEnumeration.plan", "problem")
        return plan_enumeration(problem, self._block_rows(problem), getattr(torch, self.dtype))

    @checked
    def gradient(self, problem: Problem, force: bool = False) -> Gradient:
        """The exact gradient; ``force=True`` ignores the budget."""
        Problem.given(problem, "LayerwiseEnumeration.gradient", "problem")
        _, layers = problem.chain_of_layers("LayerwiseEnumeration")
        problem.check_finite()
        problem.check_independent()
        plan = self._quick_plan(problem)
        if not force:
            plan.check(self.max_seconds, self.max_bytes, tuple(layer.count for layer in layers))
        fingerprint = Fingerprint.of(problem)
        copy = problem.differentiable(getattr(torch, self.dtype))
        sweep = Sweep(copy, self._block_rows(problem), shows_progress=plan.seconds > SHOW_AFTER)
        with torch.no_grad():
            sweep.states()
        sweep.parameters()
        gradient = {name: block.double() for name, block in sweep.gradient.items()}
        return exact_gradient(self, problem, fingerprint, sweep.expected.double(), gradient, sweep.checks)

    def _quick_plan(self, problem: Problem) -> Plan:
        """The plan, its seconds calibrated only where they matter."""
        plan = plan_enumeration(problem, self._block_rows(problem), getattr(torch, self.dtype), calibrate=False)
        return self.plan(problem) if plan.seconds > min(SHOW_AFTER, self.max_seconds) / 10 else plan

    def _block_rows(self, problem: Problem) -> int:
        """Enough rows to keep the device's matrix products busy, few enough for its memory."""
        if self.block_rows is not None:
            return self.block_rows
        layers = problem.chain_of_layers("LayerwiseEnumeration")[1]
        per_row = max(map(half_states, layers)) * len(problem.distinct_targets)
        elements = TABLE_ELEMENTS
        if problem.device.type == "cuda":
            elements = max(elements, torch.cuda.mem_get_info(problem.device)[0] // (8 * 32))
        return min(max(1024, elements // per_row), 1 << 13 if problem.device.type == "cpu" else 1 << 16)
