"""Straight-through estimators: a fixed factor in place of the derivative of the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

import torch

from estimlab.errors import EstimlabError
from estimlab.estimators.base import HardForward
from estimlab.estimators.claims import Claims
from estimlab.model.laws import NoiseLaw, PerUnit

Proxy = Literal["derived", "identity", "hard_tanh", "tanh", "approx_sign", "sign_swish"]
_BETA = 5.0  # of SignSwish


@final
@dataclass(frozen=True)
class StraightThrough(HardForward):
    """Straight-through (Hinton 2012; Bengio et al. 2013, arXiv 1308.3432; Shekhovtsov & Yanush 2021, arXiv 2006.06880).

    A draw: states from the law, ``d bit / d a`` replaced by a factor that does not depend on the state. The derived
    proxy is ``F'(a)``, the density of the noise, and makes a single layer exact for objectives that are multilinear.
    The other proxies are the fixed ones of the literature, written as ``d state / d a`` in -1/+1 coding and halved
    for bits, so that they mean the same in any coding: identity 1 (Hinton), HardTanh' ``1[|a| < 1]`` (Hubara et al.
    2016, arXiv 1602.02830), tanh' ``1 - tanh(a)^2``, ApproxSign' ``max(0, 2 - 2|a|)`` (Liu et al. 2018,
    arXiv 1808.00278), SignSwish' ``beta (2 - beta a tanh(beta a / 2)) / (1 + cosh(beta a))`` with beta = 5 (Darabi et
    al. 2018, arXiv 1812.11800; formula and beta from memory, not verified against the paper).

    Bias: one layer, ``F'(a) (E[f'] - (f(high) - f(low)) / gap)`` per unit; zero for multilinear objectives.
    Cost: one forward and one backward pass.

    Attributes:
        proxy: ``"derived"``, ``"identity"``, ``"hard_tanh"``, ``"tanh"``, ``"approx_sign"`` or ``"sign_swish"``.

    >>> import estimlab as el
    >>> problem = el.problems.load("quadratic/v1")
    >>> round(el.exact_moments(problem, el.StraightThrough()).relative_bias["0"], 3)
    0.417
    """

    citation: ClassVar[str] = "Shekhovtsov & Yanush 2021, arXiv 2006.06880; proxies: 1602.02830, 1808.00278, 1812.11800"

    proxy: Proxy = "derived"

    def __post_init__(self) -> None:
        if self.proxy not in get_args(Proxy):
            raise EstimlabError(f"StraightThrough(proxy={self.proxy!r}): proxy is one of {', '.join(get_args(Proxy))}.")

    def claims(self) -> Claims:
        """A proxy that is not the noise's density claims nothing."""
        return Claims(exact_degree=1 if self.proxy == "derived" else 0)

    def derivative(self, a: PerUnit, bit: PerUnit, uniform: PerUnit, law: NoiseLaw) -> PerUnit:
        """The proxy at the pre-activation."""
        match self.proxy:
            case "derived":
                return law.density(a)
            case "identity":
                return torch.full_like(a, 0.5)
            case "hard_tanh":
                return (a.abs() < 1).to(a.dtype) / 2
            case "tanh":
                # 1 - tanh^2 loses every digit in the tails; the product of two sigmoids does not
                return 2 * torch.sigmoid(2 * a) * torch.sigmoid(-2 * a)
            case "approx_sign":
                return torch.clamp(1 - a.abs(), min=0)
            case _:
                x = _BETA * a  # 1 / (1 + cosh x) as a product of two sigmoids: cosh overflows
                return _BETA * (2 - x * torch.tanh(x / 2)) * torch.sigmoid(x) * torch.sigmoid(-x)
