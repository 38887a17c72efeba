"""Claims on networks: 2, 5, 7, 8, 10, 12, and what claim 6 says of the variance."""

from __future__ import annotations

import math

import estimlab as el
from estimlab.cells import FrozenProblem
from estimlab.recipes import CosineChain
from literature.moments import OwnShare, Ratio, RelativeBias
from literature.objectives import Headless, Shrunk, affine, products
from literature.relaxed import BayesBiNN, NonZeroGradient
from literature.tested import (
    COLD,
    NOT_ZERO,
    OURS,
    ST21,
    TRADEOFFS,
    ZERO,
    Predicted,
    Quantity,
    Tested,
    about,
    at_least,
    at_most,
    tests,
)
from literature.weights import Domination

ST, ZGR = el.StraightThrough(), el.ZGR()
LATE = FrozenProblem("toy-late/v1")


def deep() -> list[Tested]:
    """Claim 2: deep ST."""
    uniform = CosineChain((4, 4, 4), law=el.Uniform(3.0))  # no pre-activation reaches 3
    logistic = CosineChain((4, 4, 4))
    layers = ("0", "1", "2")
    flat, curved = (Headless(chain, affine(4), "affine") for chain in (uniform, logistic))
    multilinear = Headless(logistic, products(4, seed=2), "multilinear")
    return [
        *tests(
            *("2a", "uniform noise, no saturation, affine objective: deep ST is exact in all layers", ST21),
            *((RelativeBias(flat, ST, layer), ZERO) for layer in layers),
        ),
        *tests(
            *("2b", "with a logistic loss it is not: biases of 4 to 38 % in one network", OURS),
            *(
                (RelativeBias(uniform, ST, layer), at_least(1e-3, published))
                for layer, published in (("0", 0.04), ("2", 0.38))
            ),
        ),
        *tests(
            *("2c", "logistic noise, affine or multilinear objective: the last stochastic layer is exact", ST21),
            *((RelativeBias(problem, ST, "2"), ZERO) for problem in (curved, multilinear)),
        ),
        *tests("2d", "and only the last", OURS, *((RelativeBias(curved, ST, layer), NOT_ZERO) for layer in ("0", "1"))),
    ]


def vanishing() -> list[Tested]:
    """Claim 5: a deep Gumbel-Softmax gradient is zero more and more often."""
    depths = (1, 2, 3, 4)
    return [
        *tests(
            *("5a", "P(gradient not zero) vanishes like τ^L in L layers", TRADEOFFS),
            *((NonZeroGradient(L, "relative", math.log(1e-3)), about(float(L), 0.01)) for L in depths),
        ),
        *tests(
            *("5b", "at a fixed threshold with a factor log(1/τ) per layer", OURS),
            *((NonZeroGradient(L, "fixed", -40.0), about(float(L), 0.01)) for L in depths),
        ),
    ]


def gumbel_rao() -> list[Tested]:
    """Claims 6 and 7: the variance of Gumbel-Rao, and who dominates whom."""
    cold, colder = 1e-2, 1e-4
    names = ("toy-init", "toy-early", "toy-late", "digits-late", "gaussian-late", "polynomial")
    problems = [FrozenProblem(f"{name}/v1") for name in names]
    return [
        *tests(
            *("6e", "with infinitely many samples its variance is bounded as τ tends to 0", COLD),
            (
                Ratio(LATE, el.AnalyticGumbelRao(colder), "variance", el.AnalyticGumbelRao(cold), LATE),
                at_most(1.1),
            ),
        ),
        *tests(
            *("6f", "and with ten samples", OURS),
            (Ratio(LATE, el.GumbelRao(colder, 10), "variance", el.GumbelRao(cold, 10), LATE), at_most(1.1)),
        ),
        *tests(
            *("7a", "ST-ZGR practically dominates Gumbel-Rao (within 5 %), τ up to 0.3", COLD),
            *((Domination(problem, (0.1, 0.3)), at_most(1.05)) for problem in problems),
        ),
        *tests(
            *("7b", "ST-ZGR practically dominates Gumbel-Rao (within 5 %), τ 0.5 to 2", COLD),
            *((Domination(problem, (0.5, 1.0, 2.0)), at_most(1.05)) for problem in problems),
        ),
    ]


def binary_weights() -> list[Tested]:
    """Claim 8: BayesBiNN at its defaults."""
    return [
        *tests(
            *("8a", "BayesBiNN's defaults in float32: none of a million weights has |w| < 1", TRADEOFFS),
            (BayesBiNN("inside"), about(0.0, 0.5)),
        ),
        *tests("8b", "no weight has another sign than λ", OURS, (BayesBiNN("flipped"), about(0.0, 0.5))),
        *tests("8c", "the gradient's factor is eps / (τ eps) = 1e10", OURS, (BayesBiNN("factor"), about(0.0, 1e-6))),
        *tests(
            *("8d", "a step is deterministic identity ST with weight decay", TRADEOFFS),
            (BayesBiNN("step"), about(0.0, 3e-6)),
        ),
    ]


def psa() -> list[Tested]:
    """Claim 10: PSA."""
    chain = CosineChain((3, 3, 3), steps=300, examples=10)
    return [
        *tests(
            *("10a", "PSA is exact in the last stochastic layer", "Shekhovtsov et al. 2020, arXiv 2006.03143"),
            (RelativeBias(chain, el.PSA(), "2"), ZERO),
        ),
        *tests("10b", "and not below", OURS, *((RelativeBias(chain, el.PSA(), k), NOT_ZERO) for k in ("0", "1"))),
    ]


def zgr_for_st() -> list[Tested]:
    """Claim 12: what changing p1 from p to 1/2 does to deep networks."""
    chains = [CosineChain((5, 5, 5), steps=steps, low=0.0) for steps in (0, 300)]
    problems = (FrozenProblem("toy-init/v1"), chains[0], FrozenProblem("toy-early/v1"), chains[1], LATE)
    small = Shrunk(LATE)

    def kept(layer: str, predicted: Predicted) -> list[tuple[Quantity, Predicted]]:
        return [(Ratio(problem, ZGR, "relative_bias", ST, problem, layer), predicted) for problem in problems]

    return [
        *tests("12a", "ZGR leaves about 5 % of the bias of ST in the last layer", OURS, *kept("2", about(0.05, 0.05))),
        *tests("12b", "and some 30 % in the layer before it", OURS, *kept("1", about(0.3, 0.15))),
        *tests(
            *("12c", "and can raise that of the first layer (one network shows it)", OURS),
            (Ratio(LATE, ZGR, "relative_bias", ST, LATE, "0"), at_least(1.0)),
        ),
        *tests(
            *("12d", "in the layer before the last most of ZGR's bias is from linearising the next jointly", OURS),
            *((OwnShare(problem, ZGR, 1), at_least(0.5)) for problem in problems),
        ),
        *tests(
            *("12e", "which smaller pre-activations, as from a loss on (a/s)², reduce", OURS),
            *((Ratio(small, e, "relative_bias", e, LATE), at_most(1.0)) for e in (ST, ZGR)),
        ),
    ]
