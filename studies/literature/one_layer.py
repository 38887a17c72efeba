"""Claims on one layer of units, most of them in closed form: 1, 3, 4, 6, 9 and 11."""

from __future__ import annotations

import math

import estimlab as el
from estimlab.cells import FrozenProblem
from estimlab.cells.makers import Bits
from estimlab.estimators.iw_st import ConstantWeight, PowerWeight
from literature.limits import ColdLimit, ColdOrder
from literature.moments import Distance, RelativeBias, SignedBias, Variance
from literature.objectives import Powers, SquareTimes, bit, products
from literature.tested import COLD, MVE, NOT_ZERO, OURS, RAO, ST21, TRADEOFFS, ZERO, Tested, about, tests
from literature.weights import BestWeight

ST, ZGR = el.StraightThrough(), el.ZGR()
P = 1 / (1 + math.exp(-0.7))
PQ = P * (1 - P)
LINEAR_BIAS = math.pi**2 / 6 * (1 - 6 * PQ)
FOUR = (0.4, -0.7, 1.1, 0.2)


def straight_through() -> list[Tested]:
    """Claim 1: ST within one layer."""
    multilinear = Bits("degree-4 multilinear, 4 units", products(4, seed=1), FOUR, low=-1.0)
    squares = FrozenProblem("quadratic/v1")
    return [
        *tests(
            *("1a", "ST is exact within one layer for multilinear objectives", ST21),
            *((RelativeBias(problem, ST), ZERO) for problem in (multilinear, FrozenProblem("multilinear/v1"))),
        ),
        *tests("1b", "not once x² terms enter its extension", ST21.derived, (RelativeBias(squares, ST), NOT_ZERO)),
        *tests(
            *("1c", "DARN(mean) then errs as much, with the opposite sign", OURS),
            (Distance(squares, el.DARN("mean"), ST, opposite=True), ZERO),
        ),
        *tests("1d", "and ZGR is exact", COLD, (RelativeBias(squares, ZGR), ZERO)),
    ]


def gumbel_softmax() -> list[Tested]:
    """Claim 3: the relaxed estimator at small temperatures."""
    printed = {0.1: 0.0274, 0.05: 0.0154, 0.02: 0.0065, 0.01: 0.0033}
    gs = el.GumbelSoftmax()
    return [
        *tests(
            *("3a", "Gumbel-Softmax bias for b²", TRADEOFFS.derived),
            *((SignedBias(bit(2), el.GumbelSoftmax(tau)), about(bias, 1e-4)) for tau, bias in printed.items()),
        ),
        *tests(
            *("3b", "bias O(τ) in general", TRADEOFFS),
            *((ColdOrder(bit(power, a), gs), about(1.0, 0.05).of_our_choice) for power in (2, 3) for a in (0.7, -0.4)),
        ),
        *tests(
            *("3c", "O(τ²) for linear objectives", TRADEOFFS),
            *((ColdOrder(bit(1, a), gs), about(2.0, 0.05).of_our_choice) for a in (0.7, -0.4)),
        ),
        *tests(
            *("3d", "with the coefficient (π²/6)(1 - 6pq)", TRADEOFFS.derived),
            (ColdLimit(bit(1), gs, "bias", power=-2, order=2), about(LINEAR_BIAS, 1e-3)),
        ),
        *tests(
            *("3e", "τ Var tends to pq ∫ f'² s(1-s) ds", TRADEOFFS.derived),
            (ColdLimit(bit(1), gs, "variance", power=1), about(PQ / 6, 1e-3 * PQ)),
            (ColdLimit(bit(2), gs, "variance", power=1), about(PQ / 5, 1e-3 * PQ)),
        ),
    ]


def st_gumbel_softmax() -> list[Tested]:
    """Claim 4: the same with hard states."""
    printed = {0.1: 0.04027, 0.05: 0.02184, 0.02: 0.00910, 0.01: 0.00461}
    hard = el.STGumbelSoftmax()
    return [
        *tests(
            *("4a", "ST-Gumbel-Softmax bias for b²", TRADEOFFS.derived),
            *((SignedBias(bit(2), el.STGumbelSoftmax(tau)), about(bias, 1e-5)) for tau, bias in printed.items()),
        ),
        *tests(
            *("4b", "unbiased for quadratics as τ tends to 0, else the bias of ZGR", TRADEOFFS.derived),
            *(
                (ColdLimit(bit(power), hard, "bias"), about(limit, 1e-3))
                for power, limit in ((2, 0.0), (3, 0.5), (4, 1.0))
            ),
        ),
        *tests(
            *("4c", "at τ = 1 even linear objectives have -28 %", OURS),
            (SignedBias(bit(1), el.STGumbelSoftmax(1.0)), about(-0.28, 5e-3)),
        ),
        *tests(
            *("4d", "τ Var tends to pq [f'(0)² + f'(1)²] / 12", TRADEOFFS.derived),
            (ColdLimit(bit(1), hard, "variance", power=1), about(PQ / 6, 1e-3 * PQ)),
            (ColdLimit(bit(2), hard, "variance", power=1), about(PQ / 3, 1e-3 * PQ)),
        ),
    ]


def gumbel_rao() -> list[Tested]:
    """Claim 6: the mean of Gumbel-Rao, and its limit."""
    cubic = bit(3)
    return [
        *tests(
            *("6a", "Gumbel-Rao has the mean of ST-Gumbel-Softmax", RAO),
            (Distance(cubic, el.AnalyticGumbelRao(0.3), el.STGumbelSoftmax(0.3)), ZERO),
            (Distance(cubic, el.GumbelRao(0.3, samples=1), el.STGumbelSoftmax(0.3)), ZERO),
        ),
        *tests(
            *("6b", "its limit at τ to 0 is ZGR", COLD),
            (Distance(cubic, el.AnalyticGumbelRao(1e-6), ZGR), about(0.0, 1e-5)),
        ),
        *tests(
            *("6c", "ZGR is unbiased for quadratics", COLD),
            *((RelativeBias(problem, ZGR), ZERO) for problem in (bit(2), FrozenProblem("quadratic/v1"))),
        ),
        *tests(
            *("6d", "A_1 / F' = 1/2 + τ ln 2 (2p - 1), total 1 + (π²/6)(1 - 6pq) τ²", OURS),
            (ColdLimit(bit(2), el.AnalyticGumbelRao(), "bias", power=-1), about(2 * math.log(2) * (2 * P - 1), 1e-3)),
            (ColdLimit(bit(1), el.AnalyticGumbelRao(), "bias", power=-2, order=2), about(LINEAR_BIAS, 1e-3)),
        ),
    ]


def foust() -> list[Tested]:
    """Claim 9: FouST."""
    quartic = Powers((0.3, -0.5, 0.8, 1.2, -0.7))
    even, uneven = (Bits(f"quartic, p = {p:g}", quartic, (math.log(p / (1 - p)),), low=-1.0) for p in (0.5, 0.8))
    square = Bits("x1^2 x2", SquareTimes(), (0.0, 0.0), low=-1.0)
    weighted, plain = el.FouST(), el.FouST(importance_weighted=False)
    return [
        *tests("9a", "FouST is unbiased for one bit at p = 1/2", TRADEOFFS.derived, (RelativeBias(even, plain), ZERO)),
        *tests(
            *("9b", "at p = 0.8 only with importance weights", OURS),
            (RelativeBias(uneven, plain), NOT_ZERO),
            (RelativeBias(uneven, weighted), ZERO),
        ),
        *tests(
            *("9c", "x1² x2 by x2: noise on both lacks 2/3 of the truth, ST nothing", TRADEOFFS.derived),
            (SignedBias(square, plain, coordinate=1), about(-2 / 3, 1e-10)),
            (SignedBias(square, ST, coordinate=1), ZERO),
        ),
    ]


def importance_weights() -> list[Tested]:
    """Claim 11: closed forms of IW-ST(p1)."""
    weights = (ConstantWeight(0.0), ConstantWeight(0.8), ConstantWeight(1.0), PowerWeight(0.5))
    high = el.IWST(ConstantWeight(0.8))
    constant, true = (BestWeight(kind, 2.0) for kind in ("constant", "true"))  # type: ignore[arg-type]
    plain = BestWeight("constant", 2.0, slope=1.0, curvature=1.0)  # L = 2 = 4 t
    return [
        *tests(
            *("11a", "linear objectives are exact for every p1", OURS),
            *((RelativeBias(bit(1), el.IWST(weight)), ZERO) for weight in weights),
        ),
        *tests("11b", "quadratic bias F' f'' (p1 - 1/2)", OURS, (SignedBias(bit(2), high), about(2 * 0.3, 1e-10))),
        *tests("11c", "cubic bias at p1 = 1/2: F' f''' / 12", OURS, (SignedBias(bit(3), ZGR), about(0.5, 1e-10))),
        *tests(
            *("11d", "variance at a constant slope F'² c² (p1 - p)² / (pq)", OURS),
            (Variance(bit(1), high), about(PQ * (0.8 - P) ** 2, 1e-10)),
        ),
        *tests(
            *("11e", "the p1* of a constant slope, and that of a true quadratic", OURS),
            *((best, about(best.predicted(), 1e-6)) for best in (constant, true)),
        ),
        *tests(
            *("11f", "the first is that of MVE(t) with L = 4t", MVE.derived),
            (plain, about((P + PQ) / (1 + 2 * PQ), 1e-6)),
        ),
    ]
