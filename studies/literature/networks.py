"""Claims on networks: 2, 5, 7, 8, 10, 12, and what claim 6 says of the variance."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import estimlab as el
from estimlab.cells import FrozenProblem, ProblemMaker
from estimlab.cells.makers import CosineChain
from literature.moments import OwnShare, Ratio, RelativeBias
from literature.objectives import Headless, Shrunk, affine, products
from literature.relaxed import BayesBiNN, NonZeroGradient
from literature.tested import (
    COLD,
    NOT_ZERO,
    OURS,
    PSA,
    ST21,
    TRADEOFFS,
    ZERO,
    Predicted,
    Tested,
    about,
    at_least,
    at_most,
    tests,
    within,
)
from literature.toy import PublishedToy, if_at_hand
from literature.weights import Domination

ST, ZGR = el.StraightThrough(), el.ZGR()
LATE = FrozenProblem("toy-late/v1")
OTHERS = (
    FrozenProblem("toy-init/v1"),
    CosineChain((5, 5, 5), low=0.0),
    FrozenProblem("toy-early/v1"),
    CosineChain((5, 5, 5), steps=300, low=0.0),
    LATE,
)
ABOUT_5, ABOUT_30 = about(0.05, 0.05).of_our_choice, about(0.3, 0.15).of_our_choice
METRICS: tuple[Literal["raw", "scale-invariant"], ...] = ("raw", "scale-invariant")
PLACES: dict[Literal["network", "body"], str] = {"network": "with the head", "body": "without"}
BIASES: dict[Literal["relative_bias", "bias"], str] = {
    "relative_bias": "reduce the relative bias",
    "bias": "and the bias itself",
}


def deep() -> list[Tested]:
    """Claim 2: deep ST."""
    uniform = CosineChain((4, 4, 4), law=el.Uniform(3.0))  # no pre-activation reaches 3
    logistic = CosineChain((4, 4, 4))
    layers = ("0", "1", "2")
    flat, curved = (Headless(chain, affine(4), "affine") for chain in (uniform, logistic))
    multilinear = Headless(logistic, products(4, seed=2), "multilinear")
    return [
        *tests(
            *("2a", "uniform noise, no saturation, affine objective: deep ST is exact in all layers", ST21.derived),
            *((RelativeBias(flat, ST, layer), ZERO) for layer in layers),
        ),
        *tests(
            *("2b", "with a logistic loss its bias is 4 to 38 % in every layer", OURS),
            *((RelativeBias(uniform, ST, layer), within(0.035, 0.385)) for layer in layers),
        ),
        *tests(
            *(
                "2c",
                "logistic noise, affine or multilinear objective: the last stochastic layer is exact",
                ST21.derived,
            ),
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
    """Claim 6: the variance of Gumbel-Rao."""
    cold, colder = 1e-2, 1e-4
    return [
        *tests(
            *("6e", "with infinitely many samples its variance is bounded as τ tends to 0", COLD),
            (
                Ratio(LATE, el.AnalyticGumbelRao(colder), "variance", el.AnalyticGumbelRao(cold), LATE),
                at_most(1.1).of_our_choice,
            ),
        ),
        *tests(
            *("6f", "with ten samples it is not: it grows at least as 1/τ", OURS),
            (Ratio(LATE, el.GumbelRao(colder, 10), "variance", el.GumbelRao(cold, 10), LATE), at_least(cold / colder)),
        ),
    ]


def domination() -> list[Tested]:
    """Claim 7, in four readings at low and at high temperatures: the publication's metric could not be read."""
    names = ("toy-init", "toy-early", "toy-late", "digits-late", "gaussian-late", "polynomial")
    problems = [FrozenProblem(f"{name}/v1") for name in names]
    ranges = {"τ to 0.3": (0.1, 0.3), "τ 0.5 to 2": (0.5, 1.0, 2.0)}
    readings = itertools.product(ranges, METRICS, PLACES)
    return [
        test
        for letter, (span, metric, places) in zip("abcdefgh", readings, strict=True)
        for test in tests(
            *(f"7{letter}", f"ST-ZGR practically dominates Gumbel-Rao, {span}: {metric}, {PLACES[places]}", COLD),
            *((Domination(one, ranges[span], metric, places), at_most(1.05).of_our_choice) for one in problems),
        )
    ]


def binary_weights() -> list[Tested]:
    """Claim 8: BayesBiNN at its defaults."""
    return [
        *tests(
            *("8a", "BayesBiNN's defaults in float32: none of a million weights has |w| < 1", TRADEOFFS.derived),
            (BayesBiNN("inside"), about(0.0, 0.5)),
        ),
        *tests("8b", "no weight has another sign than λ", OURS, (BayesBiNN("flipped"), about(0.0, 0.5))),
        *tests("8c", "the gradient's factor is eps / (τ eps) = 1e10", OURS, (BayesBiNN("factor"), about(0.0, 1e-6))),
        *tests(
            *("8d", "a step is deterministic identity ST with weight decay", TRADEOFFS.derived),
            (BayesBiNN("step"), about(0.0, 3e-6)),
        ),
    ]


def psa() -> list[Tested]:
    """Claim 10: PSA."""
    chain = CosineChain((3, 3, 3), steps=300, examples=10)
    return [
        *tests(
            *("10a", "PSA is exact in the last stochastic layer", PSA),
            (RelativeBias(chain, el.PSA(), "2"), ZERO),
        ),
        *tests("10b", "and not below", OURS, *((RelativeBias(chain, el.PSA(), k), NOT_ZERO) for k in ("0", "1"))),
    ]


def zgr_for_st() -> list[Tested]:
    """Claim 12: what changing p1 from p to 1/2 does, on the published toy on which it was observed and on others."""
    early, trained = PublishedToy(1), PublishedToy(100)
    toys = (early, trained)
    return [
        *kept("12a", "the published toy: ZGR leaves about 5 % of ST's bias in the last layer", "2", ABOUT_5, toys),
        *kept("12b", "and some 30 % in the layer before it", "1", ABOUT_30, toys),
        *kept("12c", "and can raise that of the first", "0", at_least(1.0), (trained,)),
        *own_share("12d", "linearising the next jointly causes most of ZGR's bias before the last", toys),
        *kept("12e", "five others: ZGR leaves about 5 % of ST's bias in the last layer", "2", ABOUT_5, OTHERS),
        *kept("12f", "and some 30 % in the layer before it", "1", ABOUT_30, OTHERS),
        *kept("12g", "and raises that of the first", "0", at_least(1.0), OTHERS),
        *own_share("12h", "linearising the next jointly causes most of ZGR's bias before the last", OTHERS),
        *smaller_pre_activations(),
    ]


def kept(number: str, words: str, layer: str, allowed: Predicted, problems: tuple[ProblemMaker, ...]) -> list[Tested]:
    """What ZGR leaves of the bias of ST in a layer."""
    ratios = ((Ratio(one, ZGR, "relative_bias", ST, one, layer), one) for one in problems)
    return tests(number, words, OURS, *((if_at_hand(*pair), allowed) for pair in ratios))


def own_share(number: str, words: str, problems: tuple[ProblemMaker, ...]) -> list[Tested]:
    """The share of the bias in the layer before the last that is its own."""
    shares = ((OwnShare(one, ZGR, 1), one) for one in problems)
    return tests(number, words, OURS, *((if_at_hand(*pair), at_least(0.5)) for pair in shares))


def smaller_pre_activations() -> list[Tested]:
    """The end of claim 12, relative to the gradient, which shrinks too, and absolute."""
    small = Shrunk(LATE)
    pairs = list(itertools.product((ST, ZGR), ("0", "1", "2", "body")))
    ratios = {of: [Ratio(small, e, of, e, LATE, place) for e, place in pairs] for of in BIASES}
    return [
        test
        for letter, (of, words) in zip("ij", BIASES.items(), strict=True)
        for test in tests(
            *(f"12{letter}", f"half the pre-activations, as from a loss on (a/s)², {words}", OURS),
            *((one, at_most(1.0)) for one in ratios[of]),
        )
    ]
